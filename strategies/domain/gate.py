"""The risk gate: what an order must satisfy before it may be sent.

Pure. An order is denied with a code and the numbers; `None` means approved. Reduce-only orders
are held to the rules of form only: no limit, stop or stale price keeps risk from shrinking.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from controlplane.kernel.errors import Denied
from controlplane.kernel.units import LIMIT, plain
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import OrderType, Side

PERCENT: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What is to be sent. `amount` is base, `price` None for a market order."""

    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """What an account holds of one instrument, in base, and what may still come of sent orders.

    `position` is signed, None when unknown. `buying` and `selling` are the unfilled rests of
    orders sent or unknown; `has_unknown_order` says one of them may or may not be at the venue.
    """

    position: Decimal | None
    buying: Decimal
    selling: Decimal
    has_unknown_order: bool

    def worst_case(self, side: Side, amount: Decimal) -> tuple[Decimal, Decimal]:
        """Return the largest |position| towards `side` without and with `amount` more, in base."""
        position = self.position or Decimal(0)
        towards = position + self.buying if side is Side.BUY else self.selling - position
        return abs(towards), abs(towards + amount)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where the order would be sent, at this moment. `reference` is None when nothing is fresh."""

    account_is_active: bool
    venue_is_enabled: bool
    module_is_enabled: bool
    instrument_is_active: bool
    reference: Decimal | None
    max_position_value: Decimal
    slippage_tolerance_percent: Decimal


def denial(
    order: OrderTerms, spec: InstrumentSpec, holding: Holding, now: Circumstances
) -> Denied | None:
    """Return why the order may not be sent, or None."""
    if problem := _form_problem(order, spec, now):
        return problem
    if order.reduce_only:
        return None
    return (
        _standing_problem(now)
        or _knowledge_problem(holding, now)
        or _collar_problem(order, now)
        or _size_problem(order, spec, holding, now)
    )


def _form_problem(order: OrderTerms, spec: InstrumentSpec, now: Circumstances) -> Denied | None:
    if not now.venue_is_enabled:
        return _denied("VENUE_DISABLED")
    if not _usable(order.amount):
        return _denied("AMOUNT_NOT_USABLE", amount=order.amount)
    if order.amount != spec.floor_size(order.amount):
        return _denied("AMOUNT_NOT_ON_LOT", amount=order.amount, lot=spec.lot)
    if (order.price is None) != (order.type is OrderType.MARKET):
        return _denied("PRICE_DOES_NOT_FIT_TYPE", price=order.price, type=order.type)
    if order.price is None:
        return None
    if not _usable(order.price):
        return _denied("PRICE_NOT_USABLE", price=order.price)
    if order.price != spec.price_toward_passive(order.side, order.price):
        return _denied("PRICE_NOT_ON_TICK", price=order.price, tick=spec.tick)
    return None


def _standing_problem(now: Circumstances) -> Denied | None:
    if not now.account_is_active:
        return _denied("ACCOUNT_NOT_ACTIVE")
    if not now.module_is_enabled:
        return _denied("MODULE_NOT_ENABLED")
    if not now.instrument_is_active:
        return _denied("INSTRUMENT_NOT_ACTIVE")
    return None


def _knowledge_problem(holding: Holding, now: Circumstances) -> Denied | None:
    if now.reference is None or not _usable(now.reference):
        return _denied("PRICE_STALE", reference=now.reference)
    if holding.position is None:
        return _denied("POSITION_UNKNOWN")
    if holding.has_unknown_order:
        return _denied("ORDER_OUTCOME_UNKNOWN")
    return None


def _collar_problem(order: OrderTerms, now: Circumstances) -> Denied | None:
    """Only the side that could cost is collared: buying dear or selling cheap."""
    if order.price is None or now.reference is None:
        return None
    width = now.reference * now.slippage_tolerance_percent / PERCENT
    limit = now.reference + order.side.sign * width
    if order.side.sign * (order.price - limit) > 0:
        return _denied(
            "PRICE_OUTSIDE_COLLAR", price=order.price, limit=limit, reference=now.reference
        )
    return None


def _size_problem(
    order: OrderTerms, spec: InstrumentSpec, holding: Holding, now: Circumstances
) -> Denied | None:
    assert now.reference is not None
    is_market = order.type is OrderType.MARKET
    price = now.reference if order.price is None else order.price
    try:
        spec.check_order(order.amount, price, is_market=is_market)
    except Denied as error:
        return _denied(error.code, **error.details)
    before, after = holding.worst_case(order.side, order.amount)
    notional = after * now.reference
    if notional > now.max_position_value and after > before:
        return _denied(
            "NOTIONAL_EXCEEDS_MAXIMUM", notional=notional, maximum=now.max_position_value
        )
    return None


def _usable(number: Decimal) -> bool:
    return number.is_finite() and 0 < number < LIMIT


def _denied(code: str, **numbers: object) -> Denied:
    shown = ", ".join(f"{name}={_shown(value)}" for name, value in numbers.items())
    return Denied(code, f"{code}: {shown}" if shown else code, **numbers)


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) and value.is_finite() else str(value)
