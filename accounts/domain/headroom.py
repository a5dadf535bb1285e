"""How much more an account may hold, by its leverage and by its utilization band."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from controlplane.kernel.units import ZERO, QuoteAmount


class Bound(StrEnum):
    """What an account's headroom ends at."""

    LEVERAGE = "LEVERAGE"
    UTILIZATION = "UTILIZATION"
    MARGIN_UNKNOWN = "MARGIN_UNKNOWN"
    EXPOSURE_UNKNOWN = "EXPOSURE_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Headroom:
    """USD of position value that may be added, and what bounds it."""

    value: QuoteAmount
    bound: str


@dataclass(frozen=True, slots=True)
class Margins:
    """An account's figures, USD; None is unknown.

    `held` is the unsigned value of its positions, `coming` what its orders on their way may add.
    """

    equity: Decimal | None
    initial_margin: Decimal | None
    held: Decimal | None
    coming: Decimal = ZERO


def headroom(known: Margins, *, max_leverage: Decimal, utilization_max: Decimal) -> Headroom:
    """Return what the account may add before its leverage or its utilization is too high.

    More value ties up margin at the rate the account's positions do, and never at less than
    1 / `max_leverage`. What is not known leaves no room.
    """
    if known.equity is None or known.initial_margin is None:
        return Headroom(QuoteAmount(ZERO), Bound.MARGIN_UNKNOWN)
    if known.held is None:
        return Headroom(QuoteAmount(ZERO), Bound.EXPOSURE_UNKNOWN)
    by_leverage = known.equity * max_leverage - known.held - known.coming
    rate = 1 / max_leverage
    if known.held > 0:
        rate = max(rate, known.initial_margin / known.held)
    margin_left = utilization_max * known.equity - known.initial_margin
    by_band = margin_left / rate - known.coming
    bound = Bound.LEVERAGE if by_leverage < by_band else Bound.UTILIZATION
    return Headroom(QuoteAmount(max(ZERO, min(by_leverage, by_band))), bound)
