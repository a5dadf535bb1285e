"""How to trade what was decided: on which accounts, how much on each, at what limit."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from controlplane.kernel.units import ZERO, BaseAmount, Price, QuoteAmount, Ratio
from hedging.domain.decision import Decision, Verdict
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import Side

COLLAR_USED: Final = Decimal("0.8")
"""The share of the tolerance a limit uses: the gate looks again, at a reference moved since."""


class Skip(StrEnum):
    """Why a candidate was not used, or not for all."""

    QUOTE_STALE = "QUOTE_STALE"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    REDUCE_ONLY = "REDUCE_ONLY"
    STOPPED = "STOPPED"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    POSITION_VALUE = "POSITION_VALUE"
    OUTSIDE_COLLAR = "OUTSIDE_COLLAR"


@dataclass(frozen=True, slots=True)
class Top:
    """Best prices of the candidate's own market, fresh."""

    bid: Price
    ask: Price

    @property
    def mid(self) -> Price:
        return Price((self.bid + self.ask) / 2)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account's contract that could carry the hedge.

    `position` is signed base; `open_buy` and `open_sell` are unsigned base still on their way.
    `slippage` is the share a fill may be worse than the best or the reference price.
    """

    account_id: str
    instrument_id: UUID
    spec: InstrumentSpec
    top: Top | None
    position: BaseAmount
    open_buy: BaseAmount
    open_sell: BaseAmount
    taker_fee: Ratio
    slippage: Ratio
    max_position_value: QuoteAmount
    may_increase: bool
    may_reduce: bool
    has_unknown_intent: bool

    def reducible(self, side: Side) -> Decimal:
        """Return how much `side` can trade before it would turn the position; unsigned base."""
        on_its_way = self.open_buy if side is Side.BUY else self.open_sell
        return max(ZERO, -side.sign * self.position - on_its_way)

    def room(self, side: Side, price: Decimal) -> Decimal:
        """Return how much `side` may add before the position is worth too much; unsigned base."""
        on_its_way = self.open_buy if side is Side.BUY else self.open_sell
        worst = side.sign * self.position + on_its_way
        return max(ZERO, self.max_position_value / price - max(ZERO, worst))


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One immediate-or-cancel order; `amount` is unsigned base."""

    account_id: str
    instrument_id: UUID
    side: Side
    amount: BaseAmount
    price: Price
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Orders in the order they are to be sent, and what stays undone (unsigned base)."""

    orders: tuple[PlannedOrder, ...]
    residual: BaseAmount
    skipped: tuple[tuple[str, Skip], ...]


def plan_hedge(decision: Decision, candidates: Iterable[Candidate]) -> Plan:
    """Plan the decided trade: shrink positions first, then the cheapest account.

    The sizes never sum to more than the decided trade; what is left after rounding down to lots,
    or is below a contract's minimum, is left alone.
    """
    side = Side.BUY if decision.trade_base > 0 else Side.SELL
    rest, reference = abs(decision.trade_base), decision.exposure.reference
    if reference is None:
        raise ValueError("A trade is decided only on a reference price.")
    usable, skipped = _usable(candidates, side)
    orders: list[PlannedOrder] = []
    for reduce_only in (True, False) if decision.verdict is Verdict.HEDGE else (True,):
        for candidate, top in usable:
            if rest <= 0:
                break
            order = _order(candidate, top, side, rest, reference, reduce_only=reduce_only)
            if isinstance(order, Skip):
                skipped.append((candidate.account_id, order))
            else:
                orders.append(order)
                rest -= order.amount
    return Plan(tuple(orders), BaseAmount(rest), tuple(dict.fromkeys(skipped)))


def collar_price(candidate: Candidate, top: Top, side: Side, reference: Decimal) -> Price | None:
    """Return the worst price accepted, on tick; None when the best one is already worse.

    No farther than the tolerance from the best price, nor from the reference price.
    """
    best = top.ask if side is Side.BUY else top.bid
    width = 1 + side.sign * candidate.slippage * COLLAR_USED
    nearer = min if side is Side.BUY else max
    price = candidate.spec.price_toward_passive(side, nearer(best, reference) * width)
    return price if side.sign * (price - best) >= 0 and price > 0 else None


def _usable(
    candidates: Iterable[Candidate], side: Side
) -> tuple[list[tuple[Candidate, Top]], list[tuple[str, Skip]]]:
    usable: list[tuple[Candidate, Top]] = []
    skipped: list[tuple[str, Skip]] = []
    for candidate in candidates:
        if not candidate.may_reduce:
            skipped.append((candidate.account_id, Skip.STOPPED))
        elif candidate.has_unknown_intent:
            skipped.append((candidate.account_id, Skip.OUTCOME_UNKNOWN))
        elif candidate.top is None:
            skipped.append((candidate.account_id, Skip.QUOTE_STALE))
        else:
            usable.append((candidate, candidate.top))
    return sorted(usable, key=lambda pair: _rank(*pair)), skipped


def _rank(candidate: Candidate, top: Top) -> tuple[Decimal, str]:
    """Cheapest first; ties by account, so the same facts make the same plan."""
    return (top.ask - top.bid) / (2 * top.mid) + candidate.taker_fee, candidate.account_id


def _order(
    candidate: Candidate,
    top: Top,
    side: Side,
    rest: Decimal,
    reference: Decimal,
    *,
    reduce_only: bool,
) -> PlannedOrder | Skip:
    if not reduce_only and not candidate.may_increase:
        return Skip.REDUCE_ONLY
    price = collar_price(candidate, top, side, reference)
    if price is None:
        return Skip.OUTSIDE_COLLAR
    limit = candidate.reducible(side) if reduce_only else candidate.room(side, top.mid)
    if limit <= 0:
        return Skip.REDUCE_ONLY if reduce_only else Skip.POSITION_VALUE
    largest = rest if candidate.spec.max_qty is None else candidate.spec.max_qty
    amount = candidate.spec.floor_size(min(rest, limit, largest))
    if not candidate.spec.is_tradable(amount, price, reduce_only=reduce_only):
        return Skip.BELOW_MINIMUM
    return PlannedOrder(
        candidate.account_id, candidate.instrument_id, side, amount, price, reduce_only
    )
