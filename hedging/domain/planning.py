"""How to trade what was decided: on which accounts, how much on each, at what limit."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from accounts.domain.headroom import Headroom
from controlplane.kernel.units import ZERO, BaseAmount, Price, QuoteAmount, Ratio
from hedging.domain.decision import Decision, Verdict
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import Side

COLLAR_USED: Final = Decimal("0.8")
"""The share of the tolerance a limit uses: the gate looks again, at a reference moved since."""


class Skip(StrEnum):
    """Why a candidate was not used, or not for all; the gate's own codes stand beside these."""

    QUOTE_STALE = "QUOTE_STALE"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    REDUCE_ONLY = "REDUCE_ONLY"
    STOPPED = "STOPPED"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    POSITION_VALUE = "POSITION_VALUE"
    OUTSIDE_COLLAR = "OUTSIDE_COLLAR"


@dataclass(frozen=True, slots=True)
class Top:
    """Best prices of the candidate's own market, fresh; the sizes behind them where known."""

    bid: Price
    ask: Price
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None

    @property
    def mid(self) -> Price:
        return Price((self.bid + self.ask) / 2)

    def passive(self, side: Side) -> Price | None:
        """Return the best price of a side's own; None where it is no market of its own."""
        own, size = (self.bid, self.bid_size) if side is Side.BUY else (self.ask, self.ask_size)
        return None if size is None else own

    def cost(self, side: Side, amount: Decimal) -> Decimal:
        """Return what taking `amount` is expected to cost against the mid, as a share of it.

        Half the spread, and for what the best price does not hold one more spread for each
        further such size, on average half of it.
        """
        spread = (self.ask - self.bid) / self.mid
        size = self.ask_size if side is Side.BUY else self.bid_size
        if not size or amount <= size:
            return spread / 2
        beyond = amount - size
        return spread / 2 + spread * beyond / size / 2 * beyond / amount


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account's contract that could carry the hedge.

    `position` is signed base; `open_buy` and `open_sell` are unsigned base still on their way.
    `slippage` is the share a fill may be worse than the best or the reference price. `headroom`
    is the account's, shared by its contracts; None where there is no money to lose.
    `cannot_increase` and `cannot_reduce` are the codes of what stands against it, blank for
    nothing. `was_rejected`: the venue has refused such an order lately.
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
    headroom: Headroom | None = None
    cannot_increase: str = ""
    cannot_reduce: str = ""
    was_rejected: bool = False

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
    """One order; `amount` is unsigned base, `price` the worst accepted of one that takes.

    `passive` is the best price of its own side, for one that rests; None where only prices of
    other venues are known.
    """

    account_id: str
    instrument_id: UUID
    side: Side
    amount: BaseAmount
    price: Price
    reduce_only: bool
    passive: Price | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Orders in the order they are to be sent, and what stays undone (unsigned base)."""

    orders: tuple[PlannedOrder, ...]
    residual: BaseAmount
    skipped: tuple[tuple[str, str], ...]

    @property
    def is_dust(self) -> bool:
        """True when nothing is traded for no other reason than that it is too small."""
        codes = {code for _account_id, code in self.skipped}
        return not self.orders and Skip.BELOW_MINIMUM in codes <= _OF_DUST


_OF_DUST: Final = frozenset({Skip.BELOW_MINIMUM, Skip.REDUCE_ONLY})


def plan_hedge(decision: Decision, candidates: Iterable[Candidate]) -> Plan:
    """Plan the decided trade: shrink positions first, then the cheapest account.

    A contract whose venue has refused lately comes after all others. The sizes never sum to more
    than the decided trade; what is left after rounding down to lots, or is below a contract's
    minimum, is left alone.
    """
    side = Side.BUY if decision.trade_base > 0 else Side.SELL
    if decision.exposure.reference is None:
        raise ValueError("A trade is decided only on a reference price.")
    usable, skipped = _usable(candidates)
    planner = _Planner(side, decision.exposure.reference, abs(decision.trade_base), skipped)
    for was_rejected in (False, True):
        group = [pair for pair in usable if pair[0].was_rejected is was_rejected]
        planner.use(group, reduce_only=True)
        if decision.verdict is Verdict.HEDGE:
            planner.use(group, reduce_only=False)
    return Plan(
        tuple(planner.orders), BaseAmount(planner.rest), tuple(dict.fromkeys(planner.skipped))
    )


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
    candidates: Iterable[Candidate],
) -> tuple[list[tuple[Candidate, Top]], list[tuple[str, str]]]:
    usable: list[tuple[Candidate, Top]] = []
    skipped: list[tuple[str, str]] = []
    for candidate in candidates:
        if not candidate.may_reduce:
            skipped.append((candidate.account_id, Skip.STOPPED))
        elif candidate.has_unknown_intent:
            skipped.append((candidate.account_id, Skip.OUTCOME_UNKNOWN))
        elif candidate.top is None:
            skipped.append((candidate.account_id, Skip.QUOTE_STALE))
        else:
            usable.append((candidate, candidate.top))
    return usable, skipped


@dataclass(slots=True)
class _Planner:
    """Gives out a trade, candidate by candidate. `rest` is unsigned base still to give out."""

    side: Side
    reference: Decimal
    rest: Decimal
    skipped: list[tuple[str, str]]
    orders: list[PlannedOrder] = field(default_factory=list)
    added: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    """USD of what is planned to be added, by account."""

    def use(self, usable: Iterable[tuple[Candidate, Top]], *, reduce_only: bool) -> None:
        for candidate, top in sorted(usable, key=lambda pair: self._rank(*pair)):
            if self.rest <= 0:
                return
            order = self._order(candidate, top, reduce_only=reduce_only)
            if isinstance(order, str):
                self.skipped.append((candidate.account_id, order))
                continue
            self.orders.append(order)
            self.rest -= order.amount
            if not reduce_only:
                self.added[candidate.account_id] += order.amount * self.reference

    def _rank(self, candidate: Candidate, top: Top) -> tuple[Decimal, str]:
        """Cheapest first; ties by account, so the same facts make the same plan."""
        return top.cost(self.side, self.rest) + candidate.taker_fee, candidate.account_id

    def _order(self, candidate: Candidate, top: Top, *, reduce_only: bool) -> PlannedOrder | str:
        if not reduce_only and not candidate.may_increase:
            return Skip.REDUCE_ONLY
        if code := candidate.cannot_reduce if reduce_only else candidate.cannot_increase:
            return code
        price = collar_price(candidate, top, self.side, self.reference)
        if price is None:
            return Skip.OUTSIDE_COLLAR
        limit, bound = self._limit(candidate, top, reduce_only=reduce_only)
        if limit <= 0:
            return bound
        spec = candidate.spec
        largest = self.rest if spec.max_qty is None else spec.max_qty
        amount = spec.floor_size(min(self.rest, limit, largest))
        if not spec.is_tradable(amount, price, reduce_only=reduce_only):
            return bound if limit < self.rest and not reduce_only else Skip.BELOW_MINIMUM
        return PlannedOrder(
            candidate.account_id,
            candidate.instrument_id,
            self.side,
            amount,
            price,
            reduce_only,
            passive=top.passive(self.side),
        )

    def _limit(self, candidate: Candidate, top: Top, *, reduce_only: bool) -> tuple[Decimal, str]:
        """Return the most the candidate may trade, in base, and the code of what bounds it."""
        if reduce_only:
            return candidate.reducible(self.side), Skip.REDUCE_ONLY
        room, bound = candidate.room(self.side, top.mid), str(Skip.POSITION_VALUE)
        if candidate.headroom is not None:
            left = candidate.headroom.value - self.added[candidate.account_id]
            if left / self.reference < room:
                room, bound = max(ZERO, left / self.reference), candidate.headroom.bound
        return room, bound
