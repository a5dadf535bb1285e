"""One reader of a stream of quotes, in a process of its own: ours or a peer.

Run as `python -m controlplane.benchmarks.ingest_worker CLIENT PORT COUNT,… SYMBOL…`. The first
COUNT of messages only warm it up; for each COUNT after it the CPU seconds are told that it took.
Prints one JSON object: those, each message's delay in ns and, from readers that parse, its bid,
which tells its number. The `u` of a quote is the monotonic time, in ns, at which it was sent.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import uvloop
from websockets.asyncio.client import connect


class Sink:
    """Keeps messages' delays and bids; `is_full` once all of `counts` have come."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._skipped = counts[0]
        self._bounds = list(accumulate(counts))
        self._bound = self._bounds.pop(0)
        self._times: list[float] = []
        self._delays: list[int] = []
        self._bids: list[object] = []
        self.is_full = asyncio.Event()

    def put(self, sent_ns: int, bid: object = None) -> None:
        """Take the newest message's time of sending, and its bid where it was read."""
        self._delays.append(time.monotonic_ns() - sent_ns)
        self._bids.append(bid)
        if len(self._delays) == self._bound:
            self._times.append(time.process_time())
            if self._bounds:
                self._bound = self._bounds.pop(0)
            else:
                self.is_full.set()

    def result(self) -> dict[str, Any]:
        """Return what was kept, without the warm-up and what came after the last of all."""
        kept = slice(self._skipped, self._bound)
        return {
            "spent": [after - before for before, after in pairwise(self._times)],
            "delays": self._delays[kept],
            "bids": [str(bid) for bid in self._bids[kept] if bid is not None],
        }


async def ours(port: int, symbols: Sequence[str], sink: Sink) -> None:
    """Read as `run_feeds` does: socket, session, board, latency, health; a line for each symbol."""
    from controlplane.kernel.clock import SYSTEM_CLOCK
    from markets.feeds.board import QuoteBoard
    from markets.feeds.line import FeedLine
    from markets.feeds.trunks import TrunkKind, Trunks
    from markets.venues.registry import VenueRegistry
    from markets.venues.types import BookTop, Endpoint, MarketEvent

    address = f"127.0.0.1:{port}"
    kind = TrunkKind("binance", Endpoint(f"http://{address}", f"ws://{address}"), 10.0)
    trunks = Trunks(VenueRegistry(allow_loopback=True), SYSTEM_CLOCK)
    lines = [
        FeedLine(symbol, symbol, fresh_ms=2000, failover_ms=10_000, since=SYSTEM_CLOCK.now())
        for symbol in symbols
    ]

    board = QuoteBoard(SYSTEM_CLOCK)
    for line in lines:
        board.open(line)

    def serving(line: FeedLine) -> Any:
        def take(events: Sequence[MarketEvent], received: float) -> None:
            line.take(events, received)
            if isinstance(event := events[0], BookTop):
                sink.put(event.sequence, event.bid)

        return trunks.serve(kind, line.symbol, take, line.connected)

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)  # as often as the publisher asks
            for line in lines:
                line.source(SYSTEM_CLOCK.monotonic())

    async def roll() -> None:
        while True:
            await asyncio.sleep(1.0)
            await board.roll(SYSTEM_CLOCK.monotonic())

    await asyncio.gather(*map(serving, lines), watch(), roll())


async def socket(port: int, symbols: Sequence[str], sink: Sink) -> None:
    """Take messages off our socket and nothing else: what the way to the session costs."""
    from markets.feeds.socket import StreamSocket

    def hand(frame: bytes) -> bool:
        sink.put(_sent(frame))
        return False

    url = f"ws://127.0.0.1:{port}/stream"
    async with connect(url, create_connection=StreamSocket, compression=None) as opened:
        assert isinstance(opened, StreamSocket)
        await opened.run(hand, print)


async def websockets(port: int, symbols: Sequence[str], sink: Sink) -> None:
    """Take frames off our websocket library and nothing else: what it costs by itself."""
    async with connect(f"ws://127.0.0.1:{port}/stream", compression=None) as socket:
        while True:
            sink.put(_sent(await socket.recv(decode=False)))


def _sent(frame: bytes) -> int:
    at = frame.index(b'"u":') + 4
    return int(frame[at : frame.index(b",", at)])


async def ccxt_pro(port: int, symbols: Sequence[str], sink: Sink) -> None:
    """Watch bids and asks with ccxt.pro, as its manual shows."""
    from ccxt.pro import binanceusdm

    exchange = binanceusdm({"enableRateLimit": False, "newUpdates": True})
    exchange.set_markets([exchange.parse_market(_listing(symbol)) for symbol in symbols])
    exchange.urls["api"]["ws"]["linear"] = f"ws://127.0.0.1:{port}"
    names = [exchange.safe_symbol(symbol, None, None, "swap") for symbol in symbols]
    handle = exchange.handle_tickers_and_bids_asks

    def handled(client: Any, message: Any, kind: str) -> None:
        handle(client, message, kind)
        sink.put(int(message["u"]), message["b"])

    exchange.handle_tickers_and_bids_asks = handled
    try:
        while True:
            await exchange.watch_bids_asks(names)
    finally:
        await exchange.close()


def _listing(symbol: str) -> dict[str, Any]:
    """Return what ccxt needs of a contract's row in Binance's exchangeInfo."""
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "underlyingType": "COIN",
        "filters": [],
        "orderTypes": [],
    }


CLIENTS: Final[dict[str, Callable[..., Any]]] = {
    "ours": ours,
    "ccxt.pro": ccxt_pro,
    "socket": socket,
    "websockets": websockets,
}


async def measured(
    client: str, port: int, counts: Sequence[int], symbols: Sequence[str]
) -> dict[str, Any]:
    """Read until all messages have come."""
    sink = Sink(counts)
    reading = asyncio.create_task(CLIENTS[client](port, symbols, sink))
    full = asyncio.create_task(sink.is_full.wait())
    await asyncio.wait([reading, full], return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        reading.result()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return sink.result()


if __name__ == "__main__":
    name, port, counts, *symbols = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        asked = [int(count) for count in counts.split(",")]
        result = runner.run(measured(name, int(port), asked, symbols))
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
