"""Which funding rates are believed, and which settlement they belong to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from markets.venues.types import FundingQuote, FundingSettlement

LARGEST_RATE: Final = Decimal("0.1")
"""A share of the position's value per interval; the venues' own caps are 2 to 4 %."""
LONGEST_HOURS: Final = 24
CLOCK_SLACK: Final = timedelta(minutes=1)
"""How far a venue's clock may be from ours; funding is told to the hour."""
USUAL_HOURS: Final = 8
USED_HOURS: Final = frozenset({1, 2, 4, 8})


def settlement_time(at: datetime) -> datetime:
    """Return the settlement a venue's time means: it may be some milliseconds past it."""
    return at.replace(microsecond=0)


def estimate_problem(quote: FundingQuote, *, now: datetime) -> str | None:
    """Return why an estimate is not believed, or None. `now` is our clock."""
    if not 0 < quote.interval_hours <= LONGEST_HOURS:
        return f"an interval of {quote.interval_hours} h"
    if problem := _rate_problem(quote.rate):
        return problem
    latest = now + timedelta(hours=quote.interval_hours) + CLOCK_SLACK
    if not now - CLOCK_SLACK <= quote.next_funding_at <= latest:
        return f"the next settlement at {quote.next_funding_at.isoformat()}"
    return None


def settlement_problem(settlement: FundingSettlement, *, now: datetime) -> str | None:
    """Return why a rate said to be paid is not believed, or None."""
    if settlement.at > now + CLOCK_SLACK:
        return f"a settlement at {settlement.at.isoformat()}"
    return _rate_problem(settlement.rate)


def _rate_problem(rate: Decimal) -> str | None:
    is_sane = rate.is_finite() and abs(rate) <= LARGEST_RATE
    return None if is_sane else f"a rate of {rate}"


def intervals(times: Sequence[datetime], *, usual: int) -> list[int]:
    """Return the hours before each settlement, in the order of `times` (oldest first).

    The first has none before it and a gap says nothing of the interval: `usual` stands there.
    """
    hours = [usual] * len(times)
    for place in range(1, len(times)):
        between = round((times[place] - times[place - 1]) / timedelta(hours=1))
        if between in USED_HOURS:
            hours[place] = between
    return hours
