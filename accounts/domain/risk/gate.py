"""The risk gate: what an order must satisfy before it may be sent.

Pure. An order is denied with a code and the numbers; `None` means approved. Reduce-only orders
are held to the rules of form only: no limit, stop or stale price keeps risk from shrinking.
Cancels do not come here at all.
"""

from dataclasses import dataclass
from decimal import Decimal

from accounts.domain.risk.exposure import Tally, exposure_problem, rate_problem
from accounts.domain.risk.limits import RiskLimits
from accounts.domain.risk.standing import PERCENT, AccountStanding, standing_problem
from accounts.domain.risk.terms import OrderTerms, denied
from controlplane.kernel.errors import Denied
from controlplane.kernel.units import LIMIT
from markets.domain.instrument import InstrumentSpec
from markets.domain.venue_status import opening_obstacle
from markets.venues.types import OrderType, Side


@dataclass(frozen=True, slots=True)
class Holding:
    """What an account holds of one instrument, in base, and what may still come of sent orders.

    `position` is signed, None when unknown. `buying` and `selling` are the unfilled rests of
    orders sent or unknown; `has_unknown_order` says one of them may or may not be at the venue,
    `is_disputed` that trades do not explain the position the venue shows.
    """

    position: Decimal | None
    buying: Decimal
    selling: Decimal
    has_unknown_order: bool
    is_disputed: bool = False

    def worst_case(self, side: Side, amount: Decimal) -> tuple[Decimal, Decimal]:
        """Return the largest |position| towards `side` without and with `amount` more, in base."""
        position = self.position or Decimal(0)
        towards = position + self.buying if side is Side.BUY else self.selling - position
        return abs(towards), abs(towards + amount)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where the order would be sent, at this moment. `reference` is None when nothing is fresh.

    `standing` is None where there is no money to lose: a simulated order of an account whose
    equity nobody has read. `tallies` are those of every limit the order falls under. `twin` is
    the id of an order of the same terms that was sent a moment ago, blank when there is none.
    `clock_apart` is the venue's clock less ours in ms, None when unknown or of no matter;
    `orders_lost` counts the orders in a row that the venue has failed at lately.
    """

    account_is_active: bool
    account_is_reconciled: bool
    venue_is_enabled: bool
    module_is_enabled: bool
    instrument_is_active: bool
    instrument_is_frozen: bool
    reference: Decimal | None
    limits: RiskLimits
    standing: AccountStanding | None = None
    tallies: tuple[Tally, ...] = ()
    twin: str = ""
    clock_apart: int | None = None
    orders_lost: int = 0


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
        or _duplicate_problem(now)
        or _limit_problem(order, now)
    )


def _form_problem(order: OrderTerms, spec: InstrumentSpec, now: Circumstances) -> Denied | None:
    if not now.venue_is_enabled:
        return denied("VENUE_DISABLED")
    if not _usable(order.amount):
        return denied("AMOUNT_NOT_USABLE", amount=order.amount)
    if order.amount != spec.floor_size(order.amount):
        return denied("AMOUNT_NOT_ON_LOT", amount=order.amount, lot=spec.lot)
    if (order.price is None) != (order.type is OrderType.MARKET):
        return denied("PRICE_DOES_NOT_FIT_TYPE", price=order.price, type=order.type)
    if order.price is None:
        return None
    if not _usable(order.price):
        return denied("PRICE_NOT_USABLE", price=order.price)
    if order.price != spec.price_toward_passive(order.side, order.price):
        return denied("PRICE_NOT_ON_TICK", price=order.price, tick=spec.tick)
    return None


def _standing_problem(now: Circumstances) -> Denied | None:
    if not now.account_is_active:
        return denied("ACCOUNT_NOT_ACTIVE")
    if not now.account_is_reconciled:
        return denied("ACCOUNT_NOT_RECONCILED")
    if not now.module_is_enabled:
        return denied("MODULE_NOT_ENABLED")
    if not now.instrument_is_active:
        return denied("INSTRUMENT_NOT_ACTIVE")
    if now.instrument_is_frozen:
        return denied("INSTRUMENT_FROZEN")
    if code := opening_obstacle(apart=now.clock_apart, lost=now.orders_lost):
        return denied(code, clock_apart_ms=now.clock_apart, orders_lost=now.orders_lost)
    return None


def _knowledge_problem(holding: Holding, now: Circumstances) -> Denied | None:
    if now.reference is None or not _usable(now.reference):
        return denied("PRICE_STALE", reference=now.reference)
    if holding.position is None:
        return denied("POSITION_UNKNOWN")
    if holding.has_unknown_order:
        return denied("ORDER_OUTCOME_UNKNOWN")
    if holding.is_disputed:
        return denied("POSITION_DISPUTED")
    return None


def _collar_problem(order: OrderTerms, now: Circumstances) -> Denied | None:
    """Only the side that could cost is collared: buying dear or selling cheap."""
    if order.price is None or now.reference is None:
        return None
    width = now.reference * now.limits.slippage_tolerance_percent / PERCENT
    limit = now.reference + order.side.sign * width
    if order.side.sign * (order.price - limit) > 0:
        return denied(
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
        return denied(error.code, **error.details)
    before, after = holding.worst_case(order.side, order.amount)
    notional = after * now.reference
    if notional > now.limits.max_position_value and after > before:
        return denied(
            "NOTIONAL_EXCEEDS_MAXIMUM", notional=notional, maximum=now.limits.max_position_value
        )
    return None


def _duplicate_problem(now: Circumstances) -> Denied | None:
    return denied("DUPLICATE_ORDER", intent=now.twin) if now.twin else None


def _limit_problem(order: OrderTerms, now: Circumstances) -> Denied | None:
    """The account's own limits first, then those it shares, the widest scope last."""
    assert now.reference is not None
    value = order.amount * now.reference
    if now.standing is not None:
        problem = standing_problem(value, now.limits, now.standing)
        if problem is not None:
            return problem
    for tally in now.tallies:
        problem = rate_problem(tally) or exposure_problem(order, value, tally)
        if problem is not None:
            return problem
    return None


def _usable(number: Decimal) -> bool:
    return number.is_finite() and 0 < number < LIMIT
