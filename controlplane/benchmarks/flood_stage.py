"""The product on a stage, hedging, while one more venue floods it and listeners stand still.

Run as `python -m controlplane.benchmarks.flood_stage RESULT COUNT SECONDS` in an environment that
points to an empty directory; leaves what it measured in the file RESULT.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import django
from django.db import connections
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from controlplane.benchmarks.flood import SYMBOLS, serve_flood
from controlplane.benchmarks.stage import Measurement

STALLED: Final = 3
WARM_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 20.0
TOO_SLOW: Final = 4408


def main() -> None:
    """Start everything, measure, stop everything."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from controlplane.base import jobs
    from controlplane.demo import data
    from controlplane.demo.layout import demo_layout
    from controlplane.management.commands.demo import (
        free_port,
        outside_programs,
        prepare_database,
    )
    from controlplane.supervision import programs
    from controlplane.supervision.supervisor import Program

    result, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    directory = result.parent
    prepare_database(directory, allow_url=False)
    layout = demo_layout(free_port, has_actor=False)
    data.demo_load(layout=layout, password=data.password(directory / "login.json"))
    jobs.schedules_upsert()
    flooding, web = free_port("127.0.0.1"), free_port("127.0.0.1")
    token = _rows_made(flooding)
    listeners = partial(Listeners, f"ws://127.0.0.1:{web}/ws/quotes/", token)
    measure = partial(_leave, layout.venues, count, result, seconds, flooding, listeners)
    programs.run(
        host="127.0.0.1",
        port=web,
        announce=lambda supervisor: None,
        more=[
            *outside_programs(directory, layout),
            Program("flood", partial(serve_flood, directory, flooding)),
            Program("benchmark", measure, True),
        ],
    )


def _rows_made(port: int) -> str:
    """Write the flooding venue, its contracts and feeds; return a token for listeners."""
    from django.contrib.auth import get_user_model
    from knox.models import AuthToken

    from markets.models import Instrument, MarketDataFeed, Venue

    venue = Venue.objects.create(
        venue_id="flood",
        name="Flood",
        dialect="binance",
        environment="paper",
        rest_endpoint=f"http://127.0.0.1:{port}",
        ws_endpoint=f"ws://127.0.0.1:{port}",
    )
    for symbol in SYMBOLS:
        Instrument.objects.create(
            venue=venue,
            venue_symbol=f"{symbol}USDT",
            symbol=symbol,
            quote_asset="USDT",
            contract_size=1,
            tick=Decimal("0.01"),
            lot=Decimal("0.1"),
            min_qty=Decimal("0.1"),
            min_notional=5,
            maker_fee=0,
            taker_fee=0,
        )
        MarketDataFeed.objects.create(
            feed_id=f"flood-{symbol.lower()}", exchange=venue, symbol=symbol
        )
    user = get_user_model().objects.filter(is_superuser=True).first()
    _row, token = AuthToken.objects.create(user)
    return str(token)


def _leave(
    venues: Sequence[Any],
    count: int,
    result: Path,
    seconds: float,
    port: int,
    listeners: "partial[Listeners]",
) -> None:
    connections.close_all()
    facts: dict[str, Any]
    try:
        measurement = FloodMeasurement(venues, count)
        facts = {**measurement.flooded(result.parent, seconds, port, listeners())}
    except TimeoutError as problem:
        facts = {"problem": str(problem)}
    result.write_text(json.dumps(facts))


class Listeners:
    """Some listeners to `/ws/quotes/` that take nothing, and one that takes all."""

    def __init__(self, url: str, token: str) -> None:
        self.codes: list[int | None] = []
        self.heard = self.gaps = 0
        self._url, self._headers = url, {"Authorization": f"Token {token}"}
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_until_complete(self._all())

    def finish(self) -> None:
        """End the living one, and see how the others were ended."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(SETTLE_SECONDS + 5)

    async def _all(self) -> None:
        living = asyncio.create_task(self._living())
        await asyncio.gather(*(self._stalled() for _ in range(STALLED)))
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)

    async def _opened(self) -> ClientConnection:
        socket = await connect(
            self._url, additional_headers=self._headers, ping_interval=None, max_queue=None
        )
        await socket.send(json.dumps({"type": "subscribe", "id": "all", "maxPerSecond": 10}))
        return socket

    async def _stalled(self) -> None:
        socket = await self._opened()
        socket.transport.pause_reading()
        await self._over.wait()
        socket.transport.resume_reading()
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await socket.wait_closed()
        except TimeoutError:
            await socket.close()
            self.codes.append(None)
            return
        self.codes.append(socket.close_code)

    async def _living(self) -> None:
        socket, expected = await self._opened(), 1
        try:
            async for text in socket:
                told = json.loads(text)
                self.heard += 1
                self.gaps += told["sequence"] != expected
                expected = told["sequence"] + 1
                ack = {"type": "ack", "id": "all", "sequence": told["sequence"]}
                await socket.send(json.dumps(ack))
        except ConnectionClosed:
            self.gaps += 1


class FloodMeasurement(Measurement):
    """Hedges while the flood is on."""

    def flooded(
        self, directory: Path, seconds: float, port: int, listeners: Listeners
    ) -> dict[str, tuple[float, str]]:
        """Return what came of a flood of at least so many seconds."""
        from controlplane.demo import control

        self._wait_ready()
        for venue in self._venues:
            control.ask(venue, "/control/resume", {})
        (directory / "go").touch()
        began = time.monotonic()
        listeners.start()
        try:
            time.sleep(WARM_SECONDS)
            before = self._memory(port)
            moves, missed = self.trade()
            while time.monotonic() - began < seconds:
                time.sleep(0.5)
            lasted, after = time.monotonic() - began, self._memory(port)
        finally:
            (directory / "go").unlink()
            listeners.finish()
        sent, read = self._sent_and_read(directory / "sent")
        latencies = self._latencies(moves)
        lost = self._differing()
        return {
            **{name: latencies[name] for name in ("decide_p50", "decide_p95", "decide_p99")},
            "hedges": latencies["hedges"],
            "missed": (missed, "hedges"),
            "lost": (lost, "orders and fills"),
            "unread": (sent - read, "quotes"),
            "quotes": (read, "quotes"),
            "rate": (round(sent / lasted), "quotes/s"),
            "stored": (self._stored(), "quotes of the flood in the database: the newest of each"),
            "not_cut": (sum(code != TOO_SLOW for code in listeners.codes), "stalled listeners"),
            "stalled": (len(listeners.codes), "stalled listeners"),
            "heard": (listeners.heard, "messages by the listener that takes all"),
            "gaps": (listeners.gaps, "messages it missed"),
            "rss": (round(after, 1), "MB"),
            "rss_growth": (round(after - before, 1), "MB"),
            "seconds": (round(lasted), "s"),
        }

    def _memory(self, port: int) -> float:
        """Return the MB of the process that reads the flood."""
        for process in self._product():
            if any(c.raddr and c.raddr.port == port for c in process.net_connections("tcp")):
                return float(process.memory_info().rss / 1e6)
        raise TimeoutError("Nobody reads the flood.")

    def _sent_and_read(self, told: Path) -> tuple[int, int]:
        """Wait until all that was sent is told to have been read, and return both."""
        from django.db.models import Sum

        from markets.models import FeedTraffic

        deadline, sent, read = time.monotonic() + SETTLE_SECONDS, -1, 0
        while time.monotonic() < deadline and read != sent:
            time.sleep(0.5)
            sent = int(told.read_text()) if told.exists() else -1
            rows = FeedTraffic.objects.filter(feed__exchange="flood")
            read = rows.aggregate(all=Sum("quotes"))["all"] or 0
        return sent, read

    def _stored(self) -> int:
        from markets.models import Quote

        return Quote.objects.filter(feed__exchange="flood").count()


if __name__ == "__main__":
    main()
