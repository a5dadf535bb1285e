"""How an emergency stop closes the positions of one book: both sides in step, slice by slice.

A wave is a set of reduce-only orders sent together; after it positions are read anew and the
next one is planned from what is true then. Whatever a wave's orders come to, |net delta| of an
asset after it is at most the larger of what it was and one slice: while one side is behind by
more than half a slice, only that side is closed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from controlplane.kernel.units import ZERO, BaseAmount, Price, QuoteAmount, Ratio
from hedging.domain.planning import PlannedOrder
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import Side

COLLAR_TIMES: Final = 5
"""An emergency order may cost this many times the account's slippage tolerance…"""
COLLAR_MOST: Final = Decimal("0.05")
"""…but never more than this share of the venue's own mark: no order is without a limit."""
SLICE_SHARE: Final = 3
"""A slice is one third of what is left of the larger side…"""
SLICE_LEAST: Final = QuoteAmount(Decimal(50_000))
"""…or so much in quote, if that is more."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One position to close. `size` is signed base, `mark` the venue's own price of it now."""

    account_id: str
    instrument_id: UUID
    symbol: str
    spec: InstrumentSpec
    size: BaseAmount
    mark: Price
    slippage: Ratio

    @property
    def side(self) -> Side:
        """The side that closes it."""
        return Side.SELL if self.size > 0 else Side.BUY

    @property
    def limit(self) -> Price:
        """The worst price accepted, on tick."""
        width = min(self.slippage * COLLAR_TIMES, COLLAR_MOST)
        return self.spec.price_toward_passive(self.side, self.mark * (1 + self.side.sign * width))

    @property
    def is_dust(self) -> bool:
        """Tell whether the venue takes no order so small."""
        return not self.spec.is_tradable(
            self.spec.floor_size(abs(self.size)), self.limit, reduce_only=True
        )


def plan_wave(legs: Iterable[Leg]) -> Sequence[PlannedOrder]:
    """Return the next orders of one book; none when nothing that can be traded is left."""
    by_symbol: dict[str, list[Leg]] = defaultdict(list)
    for leg in legs:
        if not leg.is_dust:
            by_symbol[leg.symbol].append(leg)
    return [order for symbol in sorted(by_symbol) for order in _wave(by_symbol[symbol])]


def _wave(legs: Sequence[Leg]) -> list[PlannedOrder]:
    sides = {side: [leg for leg in legs if leg.side is side] for side in Side}
    long, short = (_total(sides[side]) for side in (Side.SELL, Side.BUY))
    one_slice = max(SLICE_LEAST / max(leg.mark for leg in legs), max(long, short) / SLICE_SHARE)
    excess = long - short
    both = min(long, short, one_slice) if abs(excess) <= one_slice / 2 else ZERO
    more = min(abs(excess), one_slice)
    return [
        *_orders(sides[Side.SELL], both + (more if excess > 0 else ZERO)),
        *_orders(sides[Side.BUY], both + (more if excess < 0 else ZERO)),
    ]


def _orders(legs: Sequence[Leg], amount: Decimal) -> list[PlannedOrder]:
    """Return orders that close `amount` (unsigned base) of one side, the largest legs first."""
    orders: list[PlannedOrder] = []
    for leg in sorted(legs, key=lambda leg: (-abs(leg.size), leg.account_id)):
        part = _part(leg, amount)
        if part > 0:
            orders.append(
                PlannedOrder(leg.account_id, leg.instrument_id, leg.side, part, leg.limit, True)
            )
            amount -= part
    return orders


def _part(leg: Leg, amount: Decimal) -> BaseAmount:
    """Return how much of a leg to close: no rest is left that would be too small to trade."""
    whole = leg.spec.floor_size(abs(leg.size))
    least = max(leg.spec.min_qty, leg.spec.lot)
    if amount <= 0:
        return BaseAmount(ZERO)
    part = min(whole, max(leg.spec.floor_size(amount), least))
    if whole - part < least:
        part = whole
    most = leg.spec.max_qty
    return leg.spec.floor_size(part if most is None else min(part, most))


def _total(legs: Iterable[Leg]) -> Decimal:
    return sum((abs(leg.size) for leg in legs), ZERO)
