"""A running feeds process inside a test, and a venue that says exactly what it is told."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from controlplane import bus
from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.consumers import FeedConsumer
from markets.feeds.board import QuoteBoard
from markets.feeds.holding import Holding
from markets.feeds.line import FeedLine
from markets.feeds.plans import feed_plans
from markets.feeds.publisher import Publisher
from markets.feeds.standby import Standby
from markets.feeds.supervisor import StreamKind, Supervisor
from markets.feeds.trunks import Trunks
from markets.models import MarketDataFeed
from markets.venues.registry import VenueRegistry
from tests import factories


@dataclass
class Feeds:
    """The parts of a feeds process at work."""

    board: QuoteBoard
    publisher: Publisher
    supervisor: Supervisor
    holding: Holding

    def line(self, feed: MarketDataFeed) -> FeedLine:
        return {line.feed_id: line for line in self.board}[feed.pk]

    def lines(self) -> set[str]:
        return {line.feed_id for line in self.board}


@asynccontextmanager
async def running_feeds(*, listen: bool = True) -> AsyncIterator[Feeds]:
    """Run what `run_feeds` runs; without `listen` no bus message arrives."""
    board = QuoteBoard(SYSTEM_CLOCK)
    holding = Holding(SYSTEM_CLOCK)
    registry = VenueRegistry(allow_loopback=True)
    standby = Standby(registry, SYSTEM_CLOCK)
    trunks = Trunks(registry, SYSTEM_CLOCK)
    app = FeedConsumer.as_asgi(board=board, registry=registry, standby=standby, trunks=trunks)
    feeds = Feeds(
        board,
        Publisher(board, holding, clock=SYSTEM_CLOCK),
        Supervisor([StreamKind("feed", feed_plans, app)], holding),
        holding,
    )
    tasks = [
        asyncio.create_task(feeds.publisher.run()),
        asyncio.create_task(feeds.supervisor.run()),
    ]
    if listen:
        tasks.append(bus.ensure_listening())
    try:
        yield feeds
    finally:
        for task in tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await sync_to_async(lambda: connection.close())()  # the worker thread's own


async def until(condition: Callable[[], Any], *, seconds: float = 5.0) -> None:
    """Wait until `condition` holds; an AssertionError says that it never did."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "not in time"
        await asyncio.sleep(0.01)


async def row_until(read: Callable[[], Any], expected: Any, *, seconds: float = 5.0) -> None:
    """Wait until a read of the database gives `expected`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (seen := await sync_to_async(read)()) != expected:
        assert loop.time() < deadline, f"{seen!r} and never {expected!r}"
        await asyncio.sleep(0.02)


def book_ticker(update_id: int, bid: str = "100.1", ask: str = "100.2", **fields: Any) -> str:
    """Return a combined bookTicker frame of BTCUSDT."""
    data = {
        "e": "bookTicker",
        "u": update_id,
        "E": 1_767_000_000_000 + update_id,
        "T": 1_767_000_000_000 + update_id,
        "s": "BTCUSDT",
        "b": bid,
        "B": "1.5",
        "a": ask,
        "A": "2.5",
        **fields,
    }
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data})


@dataclass
class Scripted:
    """A websocket server on loopback that sends only what a test tells it to."""

    port: int = 0
    sockets: list[ServerConnection] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    refuses: str = ""

    @property
    def addresses(self) -> Mapping[str, str]:
        return {
            "rest_endpoint": f"http://127.0.0.1:{self.port}",
            "ws_endpoint": f"ws://127.0.0.1:{self.port}",
        }

    def feed(self, **fields: Any) -> MarketDataFeed:
        """Make a venue at this address with BTCUSDT and a feed of BTC."""
        venue = factories.venue(**self.addresses)
        factories.instrument(venue=venue)
        return factories.feed(exchange=venue, **fields)

    def books(self) -> list[ServerConnection]:
        """The open connections that asked for quotes."""
        return [socket for socket in self.sockets if _path(socket).startswith("/public/")]

    async def say(self, *frames: str | bytes) -> None:
        for socket in self.books():
            for frame in frames:
                await socket.send(frame)

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self.opened.append(_path(socket))
        names: list[str] = []
        try:
            async for message in socket:
                request = json.loads(message)
                params = request.get("params", [])
                if params:
                    self.asked.append((request["method"], *params))
                if self.refuses and self.refuses in str(params):
                    answer: dict[str, Any] = {"error": {"code": 2}}
                else:
                    names += params
                    answer = {"result": None if params else names}
                await socket.send(json.dumps({**answer, "id": request["id"]}))
        except ConnectionClosed:
            return
        finally:
            self.sockets.remove(socket)


def _path(socket: ServerConnection) -> str:
    return re.sub(r"\?.*", "", socket.request.path) if socket.request else ""


@asynccontextmanager
async def scripted_venue(*, refuses: str = "") -> AsyncIterator[Scripted]:
    """Serve on loopback; a request with `refuses` in its parameters is refused."""
    venue = Scripted(refuses=refuses)
    async with serve(venue._serve, "127.0.0.1", 0, compression=None) as server:
        venue.port = next(iter(server.sockets)).getsockname()[1]
        yield venue
