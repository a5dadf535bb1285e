"""Plays captures into a venue at their own pace, every message of them."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Final

from markets.venues.paper.capture import CapturedQuote, read_capture
from markets.venues.paper.venue import Venue

DUE_WITHIN_NS: Final = 500_000
"""Messages due within this are sent at once: timers are no finer."""
TURN: Final = 64
"""After so many messages in a row the event loop gets its turn."""
PRIME_SPAN_NS: Final = 10_000_000_000


class Player:
    """Drives markets of a venue from captures. `sent` counts messages by symbol."""

    def __init__(
        self,
        venue: Venue,
        paths: Sequence[Path],
        *,
        publish: Callable[[str, bytes], None],
    ) -> None:
        self._venue = venue
        self._paths = paths
        self._publish = publish
        self._speed = venue.config.replay_speed
        self.sent: Counter[str] = Counter()
        self.finished = asyncio.Event()

    def prime(self) -> None:
        """Take each market's first quote from the captures, so that no price is made up."""
        missing = set(self._venue.engine.markets)
        until_ns: int | None = None
        for item in read_capture(self._paths):
            until_ns = until_ns or item.received_ns + PRIME_SPAN_NS
            if not missing or item.received_ns > until_ns:
                return
            symbol = self._venue.captured_symbol(item.symbol)
            if symbol in missing:
                missing.discard(symbol)
                self._venue.replayed.add(symbol)
                quote = item.quote(update_id=item.update_id, at_ns=self._venue.now_ns())
                self._venue.engine.set_quote(symbol, quote)

    async def run(self) -> None:
        """Play to the end, or over and over when the venue loops; update ids always grow."""
        shift_update = 0
        for _ in count():
            shift_update += await self._play(shift_update)
            if not self._venue.config.replay_loop:
                break
        self.finished.set()

    async def _play(self, shift_update: int) -> int:
        """Play the captures through once; returns the span of their update ids."""
        pace: _Pace | None = None
        lowest = highest = None
        for number, item in enumerate(read_capture(self._paths)):
            symbol = self._venue.captured_symbol(item.symbol)
            if symbol is None or symbol not in self._venue.replayed:
                continue
            if number % TURN == 0:
                await asyncio.sleep(0)
            if pace is None or self._venue.paused:
                await self._venue.running.wait()
                pace = _Pace(item, self._speed, self._venue.now_ms())
            if (wait_ns := pace.wait_ns(item)) > DUE_WITHIN_NS:
                await asyncio.sleep(wait_ns / 1_000_000_000)
            self._send(symbol, item, pace.shift_ms(item), shift_update)
            lowest = min(lowest or item.update_id, item.update_id)
            highest = max(highest or item.update_id, item.update_id)
        return (highest or 0) - (lowest or 0) + 1

    def _send(self, symbol: str, item: CapturedQuote, shift_ms: int, shift_update: int) -> None:
        quote = item.quote(update_id=item.update_id + shift_update, at_ns=self._venue.now_ns())
        self._venue.engine.set_quote(symbol, quote)
        self._publish(symbol, item.frame(shift_ms=shift_ms, shift_update=shift_update))
        self.sent[symbol] += 1


class _Pace:
    """When a message is due, and what its clocks become, counted from a first message."""

    def __init__(self, first: CapturedQuote, speed: Decimal, now_ms: int) -> None:
        self._first = first
        self._speed = speed
        self._now_ms = now_ms
        self._started_ns = time.monotonic_ns()

    def wait_ns(self, item: CapturedQuote) -> int:
        elapsed = int((item.received_ns - self._first.received_ns) / self._speed)
        return self._started_ns + elapsed - time.monotonic_ns()

    def shift_ms(self, item: CapturedQuote) -> int:
        """Return what to add to the message's clocks; at speed 1 the same for all."""
        since_first = item.event_ms - self._first.event_ms
        return self._now_ms + int(since_first / self._speed) - item.event_ms
