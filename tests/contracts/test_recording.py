"""C60: what is recorded of one venue another plays: the same quotes, digit by digit."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds.plans import FeedPlan
from markets.feeds.recording import Capture, Recorder
from markets.venues.paper.server import PaperVenue
from markets.venues.types import BookTop
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import Kit
from tests.markets.feeds.running import until

MOVES = 12
Seen = tuple[str, Decimal, Decimal, Decimal, Decimal]


def shown(top: Any) -> Seen:
    return top.venue_symbol, top.bid, top.bid_size, top.ask, top.ask_size


async def recorded(kit: Kit, path: Path) -> list[Seen]:
    """Record two markets that move, over one socket; return the quotes the venue told."""
    told: list[Seen] = []
    async with PaperVenue.start(kit.config()) as venue:
        symbols = list(venue.engine.markets)
        plans = [
            FeedPlan(symbol, symbol, kit.dialect, venue.endpoint, symbol, 2000, 10_000, None, 2)
            for symbol in symbols
        ]
        with Capture(path) as capture:
            recorder = Recorder(capture, REGISTRY, clock=SYSTEM_CLOCK)
            running = asyncio.create_task(recorder.run(plans))
            await until(lambda: bool(venue.core.hub.clients), seconds=20)
            [client] = venue.core.hub.clients.values()
            await until(lambda: len(client.streams) == len(symbols), seconds=20)
            for move in range(MOVES):
                symbol = symbols[move % 2]
                quote = venue.core.jump(symbol, Decimal(60_000 + move * 7))
                told.append((symbol, quote.bid, quote.bid_size, quote.ask, quote.ask_size))
                await asyncio.sleep(0.01)
            await until(lambda: recorder.quotes.total() >= MOVES, seconds=20)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return told


async def played(kit: Kit, path: Path) -> list[Seen]:
    """Play a capture and return the quotes a listener hears."""
    tops: list[Seen] = []
    async with PaperVenue.start(kit.config(replay=(path,))) as venue:
        symbols = list(venue.engine.markets)
        session = REGISTRY.market_session(kit.dialect, venue.endpoint, symbols)
        async with aiohttp.ClientSession() as http, http.ws_connect(session.url()) as socket:
            for frame in session.opening_frames():
                await socket.send_str(frame)
            [client] = venue.core.hub.clients.values()
            await until(lambda: len(client.streams) == len(symbols), seconds=20)
            venue.core.running.set()
            async with asyncio.timeout(20):
                while len(tops) < MOVES:
                    events: Sequence[Any] = session.receive((await socket.receive_str()).encode())
                    assert all(isinstance(event, BookTop) for event in events), events
                    tops += [shown(event) for event in events]
        assert venue.player is not None
        assert sum(venue.player.sent.values()) == MOVES
    return tops


@pytest.mark.parametrize("name", ["capture.txt", "capture.txt.gz"])
async def test_c60_a_recorded_venue_is_played_again_exactly(
    kit: Kit, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    told = await recorded(kit, path)
    assert await played(kit, path) == told


async def test_a_capture_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    path.write_text("kept")
    with pytest.raises(FileExistsError):
        Capture(path)
    assert path.read_text() == "kept"


async def test_a_line_is_the_clock_and_the_raw_frame(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    with Capture(path) as capture:
        capture.write(17, b'{"a":\r\n1}')
        capture.write(18, '{"b":"\u00e9"}')
    assert path.read_bytes() == '17 {"a":  1}\n18 {"b":"\u00e9"}\n'.encode()
    assert (capture.frames, capture.bytes) == (2, path.stat().st_size)
