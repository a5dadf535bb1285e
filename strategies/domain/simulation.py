"""How the sandbox fills an order: at the touch of the live book, whole or not at all.

Simple and on the careful side. The touch is taken to hold the size, orders that take pay the
taker fee, a resting order fills at its own price once the other side reaches it, and only a
post-only order ever pays the maker fee. Funding is not simulated.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from accounts.domain.risk import OrderTerms
from markets.venues.types import OrderStatus, OrderType, Side


@dataclass(frozen=True, slots=True)
class SimulatedOrder:
    """Where a simulated order stands. `price` is the fill's, None without one."""

    status: OrderStatus
    price: Decimal | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class SimulatedFill:
    """A fill of the sandbox; `amount` is unsigned base."""

    side: Side
    amount: Decimal
    price: Decimal


def place(order: OrderTerms, *, bid: Decimal, ask: Decimal, position: Decimal) -> SimulatedOrder:
    """Return what becomes of a new order; `position` is signed base."""
    if order.reduce_only and order.amount > -order.side.sign * position:
        return SimulatedOrder(OrderStatus.REJECTED, refusal="the order would not only reduce")
    touch = ask if order.side is Side.BUY else bid
    if order.price is None:
        return SimulatedOrder(OrderStatus.FILLED, touch)
    crosses = _reaches(order, touch)
    match order.type:
        case OrderType.POST_ONLY if crosses:
            return SimulatedOrder(OrderStatus.REJECTED, refusal="the order would take")
        case OrderType.IOC if not crosses:
            return SimulatedOrder(OrderStatus.EXPIRED)
    return SimulatedOrder(OrderStatus.FILLED, touch) if crosses else rest(order, bid=bid, ask=ask)


def rest(order: OrderTerms, *, bid: Decimal, ask: Decimal) -> SimulatedOrder:
    """Return what becomes of a resting order at this book: its own price or nothing yet."""
    touch = ask if order.side is Side.BUY else bid
    if _reaches(order, touch):
        return SimulatedOrder(OrderStatus.FILLED, order.price)
    return SimulatedOrder(OrderStatus.OPEN)


def held(fills: Iterable[SimulatedFill]) -> tuple[Decimal, Decimal | None]:
    """Return the signed size and the average entry price that `fills`, in order, leave."""
    size, entry = Decimal(0), Decimal(0)
    for fill in fills:
        change = fill.side.sign * fill.amount
        after = size + change
        if size * change >= 0:
            entry = (abs(size) * entry + fill.amount * fill.price) / abs(after)
        elif size * after < 0:  # through zero: what is left was opened by this fill
            entry = fill.price
        size = after
    return size, entry if size else None


def _reaches(order: OrderTerms, touch: Decimal) -> bool:
    assert order.price is not None
    return order.side.sign * (order.price - touch) >= 0
