"""Quotes in a process that serves people: one read of the table for all who listen to it.

A process that holds no venue socket learns prices from the quotes table, which is written ten
times a second. However many people listen, it is read that often at most, and not at all while
nobody does (decision 0008).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from channels.db import database_sync_to_async
from django.db import Error

from controlplane.kernel.units import plain
from markets.models import MarketDataFeed

logger = logging.getLogger(__name__)

READ_SECONDS: Final = 0.1
_COLUMNS: Final = (
    "feed_id",
    "symbol",
    "exchange_id",
    "status",
    "quote__bid",
    "quote__ask",
    "quote__bid_size",
    "quote__ask_size",
    "quote__mark",
    "quote__venue_at",
    "quote__received_at",
    "quote__sequence",
)

Row = tuple[Any, ...]
Listener = Callable[[set[str]], None]
_taps: dict[asyncio.AbstractEventLoop, "QuoteTap"] = {}


def read_rows() -> dict[str, Row]:
    """Return what is known of every enabled feed, by feed."""
    return {row[0]: row for row in MarketDataFeed.objects.enabled().values_list(*_COLUMNS)}


def wire_quote(row: Row) -> dict[str, Any]:
    """Return a feed's newest quote as it is sent; prices are null while there never was one."""
    feed_id, symbol, exchange, status, *numbers, venue_at, received_at, sequence = row
    bid, ask, bid_size, ask_size, mark = (n if n is None else plain(n) for n in numbers)
    return {
        "feedId": feed_id,
        "symbol": symbol,
        "exchange": exchange,
        "status": status,
        "bid": bid,
        "ask": ask,
        "bidSize": bid_size,
        "askSize": ask_size,
        "mark": mark,
        "venueAt": venue_at and venue_at.isoformat(),
        "receivedAt": received_at and received_at.isoformat(),
        "sequence": sequence,
    }


class QuoteTap:
    """Reads while somebody listens and tells which feeds changed, gone ones included."""

    def __init__(self) -> None:
        self.rows: Mapping[str, Row] = {}
        self._listeners: set[Listener] = set()
        self._reading: asyncio.Task[None] | None = None

    async def join(self, listener: Listener) -> None:
        """Call `listener` with what changes from now on; what is known by then is in `rows`."""
        if not self._listeners:
            self.rows = await database_sync_to_async(read_rows)()
        self._listeners.add(listener)
        if self.is_idle():
            self._reading = asyncio.create_task(self._read_on(), name="quote-tap")

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def is_idle(self) -> bool:
        """True when nobody listens and the last read is over."""
        return self._reading is None or self._reading.done()

    async def _read_on(self) -> None:
        is_away = False
        while self._listeners:
            try:
                rows = await database_sync_to_async(read_rows)()
            except Error as error:
                if not is_away:
                    logger.warning("Quotes cannot be read (%s).", type(error).__name__)
                is_away = True
            else:
                is_away = False
                self._tell(rows)
            await asyncio.sleep(READ_SECONDS)

    def _tell(self, rows: Mapping[str, Row]) -> None:
        known, self.rows = self.rows, rows
        changed = {key for key in known.keys() | rows.keys() if known.get(key) != rows.get(key)}
        if changed:
            for listener in tuple(self._listeners):
                listener(changed)


def quote_tap() -> QuoteTap:
    """Return the running loop's tap."""
    loop = asyncio.get_running_loop()
    for other in [other for other in _taps if other.is_closed()]:
        del _taps[other]
    return _taps.setdefault(loop, QuoteTap())
