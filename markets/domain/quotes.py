"""The top of a book as a value: its middle, its freshness, and the price several of them give.

Whether a frame is believable at all is judged where it is read, in the venue's session.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

from controlplane.kernel.units import Price, median

CLOCK_TOLERANCE: Final = timedelta(seconds=1)
"""How far another host's clock may run ahead of ours; what is later still is not believed."""
SYNTHETIC_VALIDITY: Final = timedelta(seconds=2)
"""How long a synthetic price stands in for quotes that are not fresh, from when the oldest of its
sources was heard: no longer than a quote of its own would by default."""


@dataclass(frozen=True, slots=True)
class QuoteView:
    """The top of one venue's book for a symbol. Sizes are base; `received_at` is our clock."""

    feed_id: str
    venue_id: str
    symbol: str
    bid: Price
    ask: Price
    bid_size: Decimal
    ask_size: Decimal
    mark: Price | None
    received_at: datetime

    @property
    def mid(self) -> Price:
        return mid(self.bid, self.ask)


def mid(bid: Decimal, ask: Decimal) -> Price:
    """Return the middle of bid and ask."""
    return Price((bid + ask) / 2)


def venue_time(venue_ms: int) -> datetime:
    """Return a venue's millisecond clock as a moment; exact, unlike a float of seconds."""
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(milliseconds=venue_ms)


def is_fresh(received_at: datetime, *, now: datetime, threshold_ms: int) -> bool:
    """Tell whether data received then is at most `threshold_ms` old, and not from the future."""
    age = now - received_at
    return -CLOCK_TOLERANCE <= age <= timedelta(milliseconds=threshold_ms)


def reference(mids: Iterable[Decimal]) -> Price | None:
    """Return the reference price that fresh mids give: their median, None when there are none."""
    price = median(mids)
    return None if price is None else Price(price)


class Dated(Protocol):
    """What a venue numbers and dates."""

    @property
    def sequence(self) -> int: ...

    @property
    def venue_ms(self) -> int: ...


def is_older(one: Dated, other: Dated) -> bool:
    """Tell whether `one` is older by both of the venue's measures: either may start anew."""
    return one.sequence < other.sequence and one.venue_ms < other.venue_ms


def later(one: float | None, other: float | None) -> float | None:
    """Return the later of two moments, of which either may be never."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
