"""A price for a venue that says none, made from what the others say of the same symbol."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from controlplane.kernel.units import DECIMAL_PLACES, Price, median
from markets.domain.instrument import nearest_step, to_step

OUTLIER: Final = Decimal("0.01")
"""A mid farther than this share from the median is left out. Perpetuals of one asset differ by tens
of basis points at most; a whole percent is another contract or a fault."""
WIDENING: Final = Decimal(2)
"""The sources' median spread is taken this many times: it is a guess at a market we do not see."""
BASE_HALF_WIDTH: Final = Decimal("0.0002")
"""Half the spread added on top, as a share of the price: what the basis moves in a few seconds."""
UNKNOWN_BASIS_HALF_WIDTH: Final = Decimal("0.001")
"""Added instead while this venue's basis to the others has never been seen."""
BASIS_MEMORY: Final = Decimal("0.1")
"""The weight of the newest look at a basis: at one a second it forgets in about ten seconds."""
_PLACES: Final = Decimal(1).scaleb(-DECIMAL_PLACES)


@dataclass(frozen=True, slots=True)
class Source:
    """A fresh quote of another feed of the symbol."""

    feed_id: str
    bid: Decimal
    ask: Decimal
    received_at: datetime

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class SyntheticPrice:
    """A price and the feeds behind it; `as_of` is when the oldest of them was heard."""

    mid: Price
    bid: Price
    ask: Price
    feed_ids: tuple[str, ...]
    as_of: datetime


def synthetic_price(
    sources: Sequence[Source],
    *,
    basis: Decimal | None,
    minimum: int,
    tick: Decimal | None = None,
) -> SyntheticPrice | None:
    """Return the price that at least `minimum` agreeing sources give, None when fewer do.

    `basis` is this venue's mid over the others' median, minus one; None when never seen. `tick` is
    the contract's step of prices, None when not known.
    """
    agreeing = _agreeing(sources)
    middle = median(source.mid for source in agreeing)
    if middle is None or len(agreeing) < max(1, minimum):
        return None
    spread = median(source.ask - source.bid for source in agreeing) or Decimal(0)
    mid = middle * (1 + (basis or 0))
    share = UNKNOWN_BASIS_HALF_WIDTH if basis is None else BASE_HALF_WIDTH
    half = spread * WIDENING / 2 + mid * share
    if half >= mid:
        return None
    bid, ask = mid - half, mid + half
    if tick is not None:  # outward: a guess is never made narrower
        bid, mid = to_step(bid, tick, ROUND_FLOOR), nearest_step(mid, tick)
        ask = to_step(ask, tick, ROUND_CEILING)
        if bid <= 0:
            return None
    return SyntheticPrice(
        mid=Price(mid.quantize(_PLACES)),
        bid=Price(bid.quantize(_PLACES)),
        ask=Price(ask.quantize(_PLACES)),
        feed_ids=tuple(sorted(source.feed_id for source in agreeing)),
        as_of=min(source.received_at for source in agreeing),
    )


def basis_seen(last: Decimal | None, *, mid: Decimal, others: Iterable[Decimal]) -> Decimal | None:
    """Return a venue's basis after another look at it; what it was while nothing is to be seen."""
    middle = median(others)
    if middle is None or middle <= 0:
        return last
    seen = mid / middle - 1
    return seen if last is None else last + (seen - last) * BASIS_MEMORY


def _agreeing(sources: Sequence[Source]) -> list[Source]:
    """Leave out those far from the median; of two that disagree neither can be believed."""
    middle = median(source.mid for source in sources)
    if middle is None:
        return []
    return [item for item in sources if abs(item.mid - middle) <= middle * OUTLIER]
