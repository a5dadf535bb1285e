"""How much of an account's equity its positions tie up."""

from decimal import Decimal
from enum import StrEnum

from controlplane.kernel.units import Ratio


class BandPlace(StrEnum):
    BELOW = "below"
    INSIDE = "inside"
    ABOVE = "above"
    UNKNOWN = "unknown"


def utilization(*, initial_margin: Decimal | None, equity: Decimal | None) -> Ratio | None:
    """Return initial margin / equity, or None when either is unknown or equity is not positive."""
    if initial_margin is None or equity is None or equity <= 0:
        return None
    return Ratio(initial_margin / equity)


def place_in_band(value: Decimal | None, *, low: Decimal, high: Decimal) -> BandPlace:
    """Return where a utilization stands against its band; unknown stays unknown."""
    if value is None:
        return BandPlace.UNKNOWN
    if value < low:
        return BandPlace.BELOW
    return BandPlace.ABOVE if value > high else BandPlace.INSIDE


def has_crossed(before: BandPlace, after: BandPlace) -> bool:
    """Return whether a utilization left or entered its band; staying outside is no news.

    A first reading counts as a crossing only when it is outside, and a reading that became
    unknown is not one: unknown has its own alarms.
    """
    if after is BandPlace.UNKNOWN or after is before:
        return False
    return before is not BandPlace.UNKNOWN or after is not BandPlace.INSIDE
