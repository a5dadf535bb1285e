"""The quote board: the newest top of book of each feed in this process, and how it arrives.

Written by the streams on the event loop, one short call a message; read a few times a second by
the publisher. Quotes are conflated: the latest wins and nothing is queued.
"""

import logging
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.clock import Clock
from markets.choices import FeedStatus
from markets.domain.health import feed_status
from markets.domain.quotes import mid, reference
from markets.venues.types import BookTop, MarketEvent, MarkPrice, Quarantined

logger = logging.getLogger(__name__)

BURST_QUIET_SECONDS: Final = 10.0
"""Bad frames closer together than this are one burst, and one line in the log."""


class LatencyWindow:
    """How late messages come, in milliseconds: the p95 of the newest, p99 and worst of them all.

    A venue's clock may be seconds off ours, so receipt − event alone may even be negative. The
    offset of the clocks is taken as the smallest receipt − event of the last minute, and
    latency counts from there: what is shown is the delay above the fastest message, a constant
    part of the way is not seen.
    """

    SAMPLES: Final = 1024
    SECONDS: Final = 60
    LONGEST: Final = 60_000
    """Later than this counts as this late."""

    def __init__(self) -> None:
        self._second: list[float] = []
        self._delays: Counter[int] = Counter()
        self._recent: deque[float] = deque(maxlen=self.SAMPLES)
        self._lows: deque[float] = deque(maxlen=self.SECONDS)
        self._low = float("inf")

    def add(self, received: float, venue_ms: int) -> None:
        """Take a message: its receipt in monotonic seconds, its event time on the venue's clock."""
        gap = received * 1000.0 - venue_ms
        self._recent.append(gap)
        self._second.append(gap)
        if gap < self._low:
            self._low = gap

    def roll(self) -> int | None:
        """Close a second and return the p95; None after a minute without messages."""
        self._lows.append(self._low)
        self._low = float("inf")
        fastest = min(self._lows)
        if fastest == float("inf"):
            self._recent.clear()
            return None
        for gap in self._second:
            self._delays[min(self.LONGEST, round(gap - fastest))] += 1
        self._second.clear()
        ordered = sorted(self._recent)
        return max(0, round(ordered[int(0.95 * (len(ordered) - 1))] - fastest))

    def worst(self) -> int | None:
        """Return the longest delay of all closed seconds, None before the first message."""
        return max(self._delays, default=None)

    def p99(self) -> int | None:
        """Return the p99 of all closed seconds, None before the first message."""
        left = self._delays.total() // 100
        for delay in sorted(self._delays, reverse=True):
            left -= self._delays[delay]
            if left < 0:
                return delay
        return None


@dataclass(frozen=True, slots=True)
class Latest:
    """A feed's newest top of book as it stood when asked; `received` is monotonic seconds."""

    feed_id: str
    top: BookTop
    mark: Decimal | None
    received: float


class FeedLine:
    """One feed's place on the board."""

    __slots__ = (
        "_dropped_at",
        "_latency",
        "_stored",
        "connections",
        "drops",
        "failover_ms",
        "feed_id",
        "fresh_ms",
        "heard",
        "latency_p95",
        "link",
        "mark",
        "quotes",
        "received",
        "since",
        "symbol",
        "top",
    )

    def __init__(
        self, feed_id: str, symbol: str, *, fresh_ms: int, failover_ms: int, since: datetime
    ) -> None:
        self.feed_id = feed_id
        self.symbol = symbol
        self.fresh_ms = fresh_ms
        self.failover_ms = failover_ms
        self.top: BookTop | None = None
        self.mark: Decimal | None = None
        self.received: float | None = None
        self.quotes = 0
        self.drops: Counter[str] = Counter()
        self.connections = 0
        self.since = since
        self.latency_p95: int | None = None
        self.link = "not connected"
        self._latency = LatencyWindow()
        self._stored: BookTop | None = None
        self._dropped_at = float("-inf")

    def take(self, events: Sequence[MarketEvent], received: float) -> None:
        """Put what a frame said on the board; the only work done for each message."""
        for event in events:
            if isinstance(event, BookTop):
                self.top = event
                self.received = received
                self.quotes += 1
                self._latency.add(received, event.venue_ms)
            elif isinstance(event, MarkPrice):
                self.mark = event.mark
            else:
                self._drop(event, received)

    def _drop(self, event: Quarantined, received: float) -> None:
        self.drops[event.reason] += 1
        if received - self._dropped_at > BURST_QUIET_SECONDS:
            logger.warning(
                "Feed %s: a frame was not believed and dropped (%s: %s); %d so far.",
                self.feed_id,
                event.reason,
                event.detail,
                self.drops.total(),
            )
        self._dropped_at = received

    def age_ms(self, now: float) -> float | None:
        """Return the age of the newest data, None when there never was any."""
        return None if self.received is None else (now - self.received) * 1000.0

    def status(self, now: float) -> FeedStatus:
        return feed_status(self.age_ms(now), fresh_ms=self.fresh_ms, failover_ms=self.failover_ms)

    def remember(self, last_heartbeat: datetime, clock: Clock) -> None:
        """Take over the age of data an earlier process had, so a restart is no outage."""
        age = max(0.0, (clock.now() - last_heartbeat).total_seconds())
        self.received = clock.monotonic() - age

    def unstored(self) -> Latest | None:
        """Return the newest top of book unless it is already in the database."""
        if self.top is None or self.top is self._stored or self.received is None:
            return None
        return Latest(self.feed_id, self.top, self.mark, self.received)

    def was_stored(self, latest: Latest) -> None:
        self._stored = latest.top

    def roll(self) -> None:
        """Close a second of the latency window."""
        self.latency_p95 = self._latency.roll()

    @property
    def delays(self) -> tuple[int | None, int | None]:
        """p99 and worst delay in ms since counting began, None before any."""
        return self._latency.p99(), self._latency.worst()

    def connected(self, is_up: bool, reason: str, /) -> None:
        self.connections += is_up
        self.link = "connected" if is_up else reason


class QuoteBoard:
    """All feeds of this process."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lines: dict[str, FeedLine] = {}

    def __iter__(self) -> Iterator[FeedLine]:
        return iter(tuple(self._lines.values()))

    def open(self, line: FeedLine) -> None:
        """Give a feed its place; what stood there before is gone."""
        self._lines[line.feed_id] = line

    def close(self, line: FeedLine) -> None:
        """Take a feed's place away, unless a newer one has it."""
        if self._lines.get(line.feed_id) is line:
            del self._lines[line.feed_id]

    def unstored(self) -> list[Latest]:
        """Return what changed since it was last stored, the newest of each feed."""
        return [latest for line in self if (latest := line.unstored()) is not None]

    def were_stored(self, stored: Collection[Latest]) -> None:
        """Note what has reached the database."""
        for latest in stored:
            line = self._lines.get(latest.feed_id)
            if line is not None:
                line.was_stored(latest)

    def references(self) -> dict[str, Decimal]:
        """Return the reference price of each symbol with a fresh quote in this process."""
        now = self.clock.monotonic()
        mids: dict[str, list[Decimal]] = {}
        for line in self:
            if line.top is not None and line.status(now) is FeedStatus.HEALTHY:
                mids.setdefault(line.symbol, []).append(mid(line.top.bid, line.top.ask))
        prices = {symbol: reference(values) for symbol, values in mids.items()}
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def wall_time(self, received: float) -> datetime:
        """Return a monotonic receipt as wall time, by the wall clock as it stands now."""
        return self.clock.now() - timedelta(seconds=self.clock.monotonic() - received)
