"""How a venue stands towards us: how far its clock is from ours, and whether it takes orders."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from markets.choices import FeedStatus

CLOCK_DEGRADED_MS: Final = 500
CLOCK_FAILING_MS: Final = 2000
"""Beyond this nothing is opened: proofs of absence and the order of events rest on our clock."""
CLOCK_VALID: Final = timedelta(seconds=60)
"""A clock measured longer ago says nothing of now."""
WRITES_REFUSED: Final = 2
"""So many orders in a row that broke the venue, none taken between, and it takes none."""
WRITES_VALID: Final = timedelta(seconds=60)
"""After this one order more is let out, to see."""
LEARNT: Final = (
    "status",
    "status_reason",
    "clock_offset",
    "clock_error",
    "clock_at",
    "writes_lost",
    "writes_lost_at",
    "listing_short_at",
)
"""A venue's fields that we learn ourselves: nobody writes them, and no audit keeps them."""


class VenueCondition(StrEnum):
    """What people are shown of a venue: its status, where that says something.

    Nobody watches a disabled one, and of one whose clock was not read lately no good is known.
    """

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"
    NOT_MEASURED = "not-measured"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class VenueStanding:
    """What was last learnt of a venue.

    `clock_offset` is its clock less ours in ms at `clock_at`, None when never measured.
    `writes_lost` counts the orders in a row that it answered with a failure of its own (5xx), the
    last at `writes_lost_at`.
    """

    clock_offset: int | None = None
    clock_at: datetime | None = None
    writes_lost: int = 0
    writes_lost_at: datetime | None = None

    def offset(self, *, now: datetime) -> int | None:
        """Return how far the clocks are apart, ms; None when that is not known lately."""
        return self.clock_offset if _is_recent(self.clock_at, CLOCK_VALID, now) else None

    def lost(self, *, now: datetime) -> int:
        """Return how many orders in a row have broken it lately."""
        return self.writes_lost if _is_recent(self.writes_lost_at, WRITES_VALID, now) else 0


def venue_status(known: VenueStanding, *, now: datetime) -> tuple[FeedStatus, str]:
    """Return a venue's status and the code of its reason, blank when it is healthy."""
    apart = abs(known.offset(now=now) or 0)
    if apart > CLOCK_FAILING_MS:
        return FeedStatus.FAILING, "clock_off"
    lost = known.lost(now=now)
    if lost:
        return FeedStatus.DEGRADED, "takes_no_orders" if lost >= WRITES_REFUSED else "order_failed"
    if apart > CLOCK_DEGRADED_MS:
        return FeedStatus.DEGRADED, "clock_apart"
    return FeedStatus.HEALTHY, ""


def venue_condition(
    known: VenueStanding, status: FeedStatus, *, is_enabled: bool, now: datetime
) -> VenueCondition:
    """Return what to show of a venue with this status on record."""
    if not is_enabled:
        return VenueCondition.DISABLED
    if status is FeedStatus.HEALTHY and known.offset(now=now) is None:
        return VenueCondition.NOT_MEASURED
    return VenueCondition(status)


def opening_obstacle(*, apart: int | None, lost: int) -> str:
    """Return the gate's code for what keeps everything from being opened there, blank for nothing.

    `apart` is the venue's clock less ours in ms, None when unknown; `lost` as in `VenueStanding`.
    """
    if apart is not None and abs(apart) > CLOCK_FAILING_MS:
        return "VENUE_CLOCK_OFF"
    return "VENUE_TAKES_NO_ORDERS" if lost >= WRITES_REFUSED else ""


def _is_recent(at: datetime | None, validity: timedelta, now: datetime) -> bool:
    """Our clock may have been set back meanwhile: what is ahead by more is no news either."""
    return at is not None and abs(now - at) <= validity
