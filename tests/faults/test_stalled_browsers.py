"""G05 · Browsers that stop reading, over real sockets from the real web program.

The one that reads gets every number; the one that does not is cut in time, holds no memory, and
starts anew from everything when it is back.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence
from controlplane.supervision import programs
from controlplane.supervision.programs import free_port
from markets.models import MarketDataFeed, Quote
from monitoring.dashboard import PANELS
from tests import factories
from tests.markets.feeds.running import until

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 60.0
SMALL: Final = 4096
"""Bytes that a stalled browser's system takes for it before the sender must keep the rest."""
MOST_BYTES: Final = 50_000_000
FEEDS: Final = 60
SUBSCRIPTIONS: Final = 8
SERVE: Final = """
import sys, django
from functools import partial
django.setup()
import daphne.server
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
daphne.server.Server = partial(daphne.server.Server, ping_interval=1, ping_timeout=4)
from markets import sockets
sockets.ACKNOWLEDGED_SECONDS = 4.0
from controlplane.supervision.programs import serve
serve(host="127.0.0.1", port=int(sys.argv[2]))
"""
"""The deadlines of the product are 10 s (quotes) and 20 + 30 s (a ping)."""

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@dataclass
class Web:
    """The web program, and who is connected to it."""

    port: int
    process: psutil.Process

    def connected(self) -> set[int]:
        """Return the ports of those that it still holds a connection for."""
        return {
            it.raddr.port
            for it in self.process.net_connections("tcp")
            if it.laddr.port == self.port and it.raddr and it.status == psutil.CONN_ESTABLISHED
        }

    def memory(self) -> int:
        return int(self.process.memory_info().rss)


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    port, name = free_port("127.0.0.1", 0), str(connection.settings_dict["NAME"])
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, name, str(port)),
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    try:
        await until(lambda: programs._is_served("127.0.0.1", port), seconds=SECONDS)
        yield Web(port, psutil.Process(program.pid))
    finally:
        program.terminate()
        async with asyncio.timeout(20):
            await program.wait()
        await sync_to_async(lambda: connection.close())()  # the thread's own


@asynccontextmanager
async def browser(
    there: Web, path: str, headers: dict[str, str], *, reads: bool = True
) -> AsyncIterator[tuple[ClientConnection, int]]:
    """Connect; one that does not read takes one message at most. Yields its port, too."""
    sock = socket.socket()
    if not reads:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.connect(("127.0.0.1", there.port))
    own = sock.getsockname()[1]
    made = await connect(
        f"ws://127.0.0.1:{there.port}{path}",
        sock=sock,
        additional_headers=headers,
        max_queue=None if reads else 1,
        max_size=None,
        ping_interval=None,
        close_timeout=1,
    )
    try:
        yield made, own
    finally:
        await made.close()


async def read(made: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        message: dict[str, Any] = json.loads(await made.recv())
        return message


async def left_unread(made: ClientConnection) -> list[dict[str, Any]]:
    """Read what had been sent to one that did not read, to the end of its connection."""
    found: list[dict[str, Any]] = []
    try:
        while True:
            found.append(await read(made))
    except ConnectionClosed:
        return found


async def go_on_until_cut(
    there: Web, own: int, step: Callable[[], Awaitable[None]], *, most: float = SECONDS
) -> int:
    """Do steps until the web program has let go of a browser; return the memory it took at most."""
    loop, before, memory = asyncio.get_running_loop(), there.memory(), 0
    end = loop.time() + most
    while own in there.connected():
        assert loop.time() < end, "the stalled browser is not cut"
        await step()
        memory = max(memory, there.memory() - before)
    return memory


async def test_g05_quotes_a_stalled_browser_is_cut_and_the_others_get_every_number() -> None:
    feeds = await sync_to_async(_feeds)()
    user = await sync_to_async(User.objects.create_superuser)("reader")
    _, token = await sync_to_async(AuthToken.objects.create)(user=user)
    headers, number = {"Authorization": f"Token {token}"}, 100
    async with web() as there, browser(there, "/ws/quotes/", headers) as (lively, _):
        await lively.send(_subscribe("s"))
        sequence = (await read(lively))["sequence"]

        async def step() -> None:
            nonlocal sequence, number
            number += 1
            await sync_to_async(_price)(feeds, number)
            delta = await read(lively)
            assert (delta["type"], delta["sequence"]) == ("delta", sequence + 1)
            sequence += 1
            await lively.send(json.dumps({"type": "ack", "id": "s", "sequence": sequence}))

        async with browser(there, "/ws/quotes/", headers, reads=False) as (stalled, own):
            for name in range(SUBSCRIPTIONS):
                await stalled.send(_subscribe(str(name)))
            assert await go_on_until_cut(there, own, step) < MOST_BYTES
            unread = await left_unread(stalled)
        for _ in range(3):
            await step()
        kept = [it["sequence"] for it in unread if it.get("id") == "0"]
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) < sequence  # what follows, it knows by the number of its next message
        async with browser(there, "/ws/quotes/", headers) as (again, _):
            await again.send(_subscribe("s"))
            snapshot = await read(again)
        assert (snapshot["type"], snapshot["sequence"]) == ("snapshot", 1)
        newest = {quote["bid"] for quote in snapshot["quotes"]}
        assert (len(snapshot["quotes"]), newest) == (FEEDS, {str(number)})


def _subscribe(name: str) -> str:
    return json.dumps({"type": "subscribe", "id": name, "maxPerSecond": 10})


def _feeds() -> list[MarketDataFeed]:
    venue = factories.venue()
    made = [factories.feed(exchange=venue, symbol=f"A{n}", status="healthy") for n in range(FEEDS)]
    _price(made, 100)
    return made


def _price(feeds: list[MarketDataFeed], bid: int) -> None:
    now = timezone.now()
    top = {"bid": Decimal(bid), "ask": Decimal(bid) + 1, "bid_size": 1, "ask_size": 2}
    times = {"venue_at": now, "received_at": now, "sequence": bid}
    if not Quote.objects.filter(feed__in=feeds).update(**top, **times):
        Quote.objects.bulk_create([Quote(feed=feed, **top, **times) for feed in feeds])


async def test_g05_console_a_stalled_browser_is_cut_and_gets_every_panel_when_it_is_back() -> None:
    headers, number = await sync_to_async(_signed_in)(), 0
    async with web() as there, browser(there, "/ws/console/", headers) as (lively, _):
        sequence = (await read(lively))["sequence"]

        async def step() -> None:
            nonlocal sequence, number
            number += 1
            await sync_to_async(_tell)(number)
            shown = await read(lively)
            assert shown["sequence"] == sequence + 1
            sequence += 1

        async with browser(there, "/ws/console/", headers, reads=False) as (stalled, own):
            assert await go_on_until_cut(there, own, step) < MOST_BYTES
            kept = [it["sequence"] for it in await left_unread(stalled)]
        assert kept == list(range(1, len(kept) + 1))
        async with browser(there, "/ws/console/", headers) as (again, _):
            whole = await read(again)
        assert (whole["sequence"], set(whole["panels"])) == (1, set(PANELS))
        assert f"told {number}" in "".join(whole["panels"].values())


def _signed_in() -> dict[str, str]:
    client = Client()
    client.force_login(User.objects.create_superuser("reader"))
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return {"Cookie": cookies, "Origin": "http://localhost"}


def _tell(number: int) -> None:
    """Tell of so much that a push is larger than what a browser's system takes unread."""
    text = f"told {number} {'and so on ' * 150}"
    events.publish(*[Occurrence(type=EventType.SYSTEM, message=text) for _ in range(20)])
