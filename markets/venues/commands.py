"""What we ask of venues, checked before anything is sent."""

from datetime import timedelta
from decimal import Decimal

from markets.venues.errors import NotSent


def whole_leverage(leverage: Decimal) -> int:
    """Return a leverage venues take; raises NotSent for a fraction or less than 1."""
    if leverage != leverage.to_integral_value() or leverage < 1:
        raise NotSent(f"The venue takes whole leverages from 1, not {leverage}.")
    return int(leverage)


def timer_ms(after: timedelta) -> int:
    """Return a dead-man timer's milliseconds; raises NotSent for less than 0 or a fraction."""
    milliseconds, rest = divmod(after, timedelta(milliseconds=1))
    if milliseconds < 0 or rest:
        raise NotSent(f"A timer of {after.total_seconds()} s is none.")
    return milliseconds
