"""Whoever wants to know that a reference price moved says so here.

A tick is a hint that makes things fast, never the only way to learn of something: it is
conflated (the latest price of a symbol wins) and lost when a process dies.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Final

from django.db import close_old_connections, connection

from controlplane.kernel.clock import Clock

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 0.2
"""A symbol's handlers are called at most this often."""

Handler = Callable[[str, Decimal], None]
_handlers: list[Handler] = []


def subscribe(handler: Handler) -> None:
    """Call `handler(symbol, price)` when a reference price moved; twice registered counts once.

    It is called in a thread of its own, off the event loop, after the quotes behind the price
    are in the database.
    """
    if handler not in _handlers:
        _handlers.append(handler)


def unsubscribe(handler: Handler) -> None:
    """Call `handler` no more."""
    if handler in _handlers:
        _handlers.remove(handler)


class TickRelay:
    """Hands moved prices to the handlers, one symbol at most every INTERVAL_SECONDS."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ticks")
        self._told: dict[str, tuple[Decimal, float]] = {}
        self._busy: asyncio.Task[None] | None = None

    def offer(self, prices: Mapping[str, Decimal]) -> None:
        """Tell what moved since it was last told; while handlers are busy, nothing queues up."""
        if not _handlers or (self._busy is not None and not self._busy.done()):
            return
        now = self._clock.monotonic()
        moved: dict[str, Decimal] = {}
        for symbol, price in prices.items():
            told, at = self._told.get(symbol, (None, float("-inf")))
            if price != told and now - at >= INTERVAL_SECONDS:
                moved[symbol] = price
                self._told[symbol] = (price, now)
        if moved:
            loop = asyncio.get_running_loop()
            self._busy = loop.create_task(self._hand_over(moved), name="ticks")

    async def _hand_over(self, moved: Mapping[str, Decimal]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, _call_handlers, moved)

    async def close(self) -> None:
        """Wait for the handlers that are at work."""
        if self._busy is not None:
            await self._busy
        self._thread.submit(lambda: connection.close())  # that thread's own
        self._thread.shutdown()


def _call_handlers(moved: Mapping[str, Decimal]) -> None:
    close_old_connections()
    for symbol, price in moved.items():
        for handler in tuple(_handlers):
            try:
                handler(symbol, price)
            except Exception:
                logger.exception("A handler of ticks broke on %s.", symbol)
