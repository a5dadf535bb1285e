"""Limits on what many positions may be worth together: an instrument's, a venue's, the firm's.

Everything is in USD at reference prices. An order on its way counts whole from the moment it is
sent, and one of unknown fate until proof: so the sum of what is allowed never exceeds a limit,
whichever of the orders fill.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from accounts.domain.risk.terms import OrderTerms, denied
from controlplane.kernel.errors import Denied
from controlplane.kernel.units import ZERO
from markets.venues.types import Side


class LimitScope(StrEnum):
    """Whose positions a limit counts; a module's are those of the accounts it may use."""

    FIRM = "firm"
    VENUE = "venue"
    ACCOUNT = "account"
    MODULE = "module"
    INSTRUMENT = "instrument"


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """One limit row; None is no limit. `target` names whose it is, blank for the firm."""

    scope: LimitScope
    target: str
    max_order_value: Decimal | None = None
    max_long_value: Decimal | None = None
    max_short_value: Decimal | None = None
    max_gross_value: Decimal | None = None
    max_net_value: Decimal | None = None
    max_orders_per_minute: int | None = None

    @property
    def name(self) -> str:
        return f"{self.scope}:{self.target}" if self.target else str(self.scope)


@dataclass(frozen=True, slots=True)
class ScopeSums:
    """What a scope holds and has on its way, each unsigned USD.

    `buying` and `selling` are the rests of sent orders that are not reduce-only. `unpriced` names
    a symbol whose worth is not known, blank when all are.
    """

    long: Decimal = ZERO
    short: Decimal = ZERO
    buying: Decimal = ZERO
    selling: Decimal = ZERO
    unpriced: str = ""

    @property
    def gross(self) -> Decimal:
        """Return the most that long and short can be worth together."""
        return self.long + self.buying + self.short + self.selling

    @property
    def net_high(self) -> Decimal:
        return self.long - self.short + self.buying

    @property
    def net_low(self) -> Decimal:
        return self.long - self.short - self.selling


@dataclass(frozen=True, slots=True)
class Tally:
    """A scope's limits beside what counts against them; `orders` were sent in the last minute."""

    limits: ScopeLimits
    sums: ScopeSums
    orders: int


def exposure_problem(order: OrderTerms, value: Decimal, tally: Tally) -> Denied | None:
    """Return why an order worth `value` USD breaks a scope's limits, or None."""
    limits, sums = tally.limits, tally.sums
    if _over(limits.max_order_value, value):
        return denied(
            "ORDER_VALUE_EXCEEDS_MAXIMUM",
            scope=limits.name,
            value=value,
            maximum=limits.max_order_value,
        )
    ceilings = _ceilings(order.side, value, limits, sums)
    if sums.unpriced and any(maximum is not None for _name, _after, maximum in ceilings):
        return denied("EXPOSURE_UNKNOWN", scope=limits.name, symbol=sums.unpriced)
    for name, after, maximum in ceilings:
        if _over(maximum, after):
            code = f"{name}_EXCEEDS_MAXIMUM"
            return denied(code, scope=limits.name, value=after, maximum=maximum)
    return None


def rate_problem(tally: Tally) -> Denied | None:
    """Return why no more orders may be sent this minute, or None."""
    maximum = tally.limits.max_orders_per_minute
    if maximum is None or tally.orders < maximum:
        return None
    return denied(
        "ORDER_RATE_EXCEEDED", scope=tally.limits.name, orders=tally.orders, maximum=maximum
    )


def _ceilings(
    side: Side, value: Decimal, limits: ScopeLimits, sums: ScopeSums
) -> list[tuple[str, Decimal, Decimal | None]]:
    """Return each figure the order makes larger, with the order in it, and its limit."""
    if side is Side.BUY:
        one_way = ("LONG", sums.long + sums.buying + value, limits.max_long_value)
        net = sums.net_high + value
    else:
        one_way = ("SHORT", sums.short + sums.selling + value, limits.max_short_value)
        net = value - sums.net_low
    return [
        one_way,
        ("GROSS", sums.gross + value, limits.max_gross_value),
        ("NET", net, limits.max_net_value),
    ]


def _over(maximum: Decimal | None, value: Decimal) -> bool:
    return maximum is not None and value > maximum
