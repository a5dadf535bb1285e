"""The quote board: the newest top of book of each feed in this process.

Read a few times a second by the publisher. Quotes are conflated: the latest wins and nothing is
queued.
"""

import asyncio
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from controlplane.kernel.clock import Clock
from markets.choices import FeedStatus
from markets.domain.quotes import reference
from markets.domain.synthetic import basis_seen
from markets.feeds.line import FeedLine, Latest


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
            if (middle := line.fresh_mid(now)) is not None:
                mids.setdefault(line.symbol, []).append(middle)
        prices = {symbol: reference(values) for symbol, values in mids.items()}
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def learn_bases(self, now: float) -> None:
        """Note how far each healthy feed is from the others of its symbol in this process."""
        mids: dict[str, dict[str, Decimal]] = {}
        for line in self:
            middle = line.fresh_mid(now)
            if middle is not None and line.status(now) is FeedStatus.HEALTHY:
                mids.setdefault(line.symbol, {})[line.feed_id] = middle
        for line in self:
            peers = mids.get(line.symbol, {})
            if line.feed_id in peers:
                others = [value for feed_id, value in peers.items() if feed_id != line.feed_id]
                line.basis = basis_seen(line.basis, mid=peers[line.feed_id], others=others)

    async def roll(self, now: float) -> None:
        """Close a second of each feed's latency; what arrives is taken between one and the next."""
        for line in self:
            line.roll()
            line.watch_marks(now)
            await asyncio.sleep(0)

    def wall_time(self, received: float) -> datetime:
        """Return a monotonic receipt as wall time, by the wall clock as it stands now."""
        return self.clock.now() - timedelta(seconds=self.clock.monotonic() - received)
