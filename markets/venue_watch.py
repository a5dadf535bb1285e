"""Writes of how venues stand towards us: their clocks, and the orders they fail to take."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from controlplane import bus
from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets.choices import FeedStatus
from markets.domain.venue_status import CLOCK_VALID, venue_status
from markets.models import Venue
from markets.venues.errors import VenueError
from markets.venues.registry import VenueRegistry
from markets.venues.shared import ServerClock, server_clock

ASK_SECONDS: Final = 5.0
SEVERITIES: Final = {
    FeedStatus.HEALTHY: Severity.INFO,
    FeedStatus.DEGRADED: Severity.WARN,
    FeedStatus.FAILING: Severity.CRITICAL,
}


def clock_apart(venue: Venue, *, now: datetime) -> int | None:
    """Return the venue's clock less ours, ms; None when unknown.

    The larger of what is on record and what this process has learnt for its own signatures, which
    a step of this machine's clock moves at once.
    """
    known = (venue.standing.offset(now=now), _clock_of(venue).ahead_ms())
    return max((ms for ms in known if ms is not None), key=abs, default=None)


def _clock_of(venue: Venue) -> ServerClock:
    endpoint = venue.endpoint()
    return server_clock(endpoint.rest or f"ccxt:{endpoint.ccxt_id}")


def clock_measure(venue: Venue) -> None:
    """Ask the venue for its time, directly, and write down how far our clock is from it.

    A venue that does not answer leaves what its accounts' own requests have told.
    """
    clock = _clock_of(venue)
    with suppress(VenueError, TimeoutError):
        told = asyncio.run(time_asked(venue, seconds=ASK_SECONDS))
        clock.learn(told.venue_ms, sent_ns=told.sent_ns, received_ns=told.received_ns)
    offset = clock.ahead_ms()
    if offset is not None and clock.age_seconds <= CLOCK_VALID.total_seconds():
        Venue.objects.filter(pk=venue.pk).update(
            clock_offset=offset,
            clock_error=round(clock.round_trip_ns / 2_000_000),
            clock_at=timezone.now(),
        )
    venues_judge([venue.pk], now=timezone.now())


@dataclass(frozen=True, slots=True)
class TimeTold:
    """A venue's answer to what time it is, heard `heard_at` by this machine's own clock.

    Stamps are of our monotonic clock.
    """

    at: datetime
    heard_at: datetime
    sent_ns: int
    received_ns: int

    @property
    def venue_ms(self) -> int:
        return round(self.at.timestamp() * 1000)


async def time_asked(venue: Venue, *, seconds: float) -> TimeTold:
    """Ask a venue for its time, directly; raises VenueError, and TimeoutError after `seconds`."""
    registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)
    client = registry.market_client(venue.dialect, venue.endpoint())
    try:
        async with asyncio.timeout(seconds):
            sent_ns = time.monotonic_ns()
            at = await client.server_time()
            # Our own clock, which the gate goes by, even where the database's is told (0021).
            return TimeTold(at, datetime.now(UTC), sent_ns, time.monotonic_ns())
    finally:
        await client.close()


@transaction.atomic
def write_lost(*, venue_id: str) -> None:
    """Count an order that the venue answered with a failure of its own."""
    now = timezone.now()
    Venue.objects.filter(pk=venue_id).update(writes_lost=F("writes_lost") + 1, writes_lost_at=now)
    venues_judge([venue_id], now=now)


def write_taken(*, venue: Venue) -> None:
    """Note that the venue takes orders; costs nothing where it was never in doubt."""
    if not venue.writes_lost:
        return
    with transaction.atomic():
        Venue.objects.filter(pk=venue.pk).update(writes_lost=0, writes_lost_at=None)
        venues_judge([venue.pk], now=timezone.now())


def venues_judge(venue_ids: Sequence[str] | None = None, *, now: datetime) -> int:
    """Bring the status on record of venues (all when none is named) to what is known of them.

    Returns how many have changed; each change is told once.
    """
    wanted = Venue.objects.filter(is_enabled=True)
    if venue_ids is not None:
        wanted = wanted.filter(pk__in=venue_ids)
    suspects = [venue.pk for venue in wanted if _is_untrue(venue, now=now)]
    return _judge(suspects, now=now) if suspects else 0


def _is_untrue(venue: Venue, *, now: datetime) -> bool:
    return (venue.status, venue.status_reason) != venue_status(venue.standing, now=now)


@transaction.atomic
def _judge(suspects: Sequence[str], *, now: datetime) -> int:
    """Judge again under lock, write, and tell of all changes together."""
    rows = Venue.objects.select_for_update(no_key=True).filter(pk__in=suspects).order_by("pk")
    changed, told = [venue for venue in rows if _is_untrue(venue, now=now)], []
    for venue in changed:
        was = venue.status
        venue.status, venue.status_reason = venue_status(venue.standing, now=now)
        if was != venue.status:
            told.append(_change(venue, was))
    Venue.objects.bulk_update(changed, ["status", "status_reason"])
    if changed:
        bus.send("console", "console.changed", topic="feeds")
    events.publish(*told)
    return len(changed)


def _change(venue: Venue, was: str) -> Occurrence:
    """Return what to tell of a venue whose status was another one."""
    texts = {
        "": _("%(venue)s is healthy again."),
        "clock_off": _("The clock of %(venue)s and ours are %(ms)s ms apart: nothing is opened."),
        "clock_apart": _("The clock of %(venue)s and ours are %(ms)s ms apart."),
        "order_failed": _("%(venue)s has failed at an order."),
        "takes_no_orders": _("%(venue)s takes no orders: nothing is opened there."),
    }
    return Occurrence(
        type=EventType.SYSTEM,
        severity=SEVERITIES[FeedStatus(venue.status)],
        message=texts[venue.status_reason] % {"venue": venue.pk, "ms": venue.clock_offset},
        payload={
            "code": "venue_status",
            "venue": venue.pk,
            "from": was,
            "to": str(venue.status),
            "reason": venue.status_reason,
            "clockOffset": venue.clock_offset,
            "ordersLost": venue.writes_lost,
        },
    )
