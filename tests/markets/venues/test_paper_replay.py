"""A recorded capture played through the venue: every quote, at its own pace, its clock moved."""

import asyncio
import gzip
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from markets.venues.binance.streams import BinanceMarketSession
from markets.venues.paper.server import PaperVenue
from markets.venues.types import BookTop
from tests.markets.venues.conftest import paper_config

START_NS = 1_723_161_255_030_314_667
CLOCK_LAG_MS = 1_270
BURST, QUIET = 1_200, 200


def line(number: int, at_ns: int, symbol: str = "BTCUSDT") -> bytes:
    """One bookTicker line, its keys in the recorder's order and its sizes all different."""
    event_ms = at_ns // 1_000_000 + CLOCK_LAG_MS
    data = (
        f'{{"e":"bookTicker","u":{5_123_107_839_020 + number * 3},"s":"{symbol}",'
        f'"b":"61800.20","B":"{number + 1}.507","a":"61800.30","A":"2.510",'
        f'"T":{event_ms - 1},"E":{event_ms}}}'
    )
    stream = f"{symbol.lower()}@bookTicker"
    return f'{at_ns} {{"stream":"{stream}","data":{data}}}\n'.encode()


def noise(at_ns: int) -> bytes:
    return (
        b'%d {"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","p":"1"}}\n' % at_ns
    )


@pytest.fixture
def captures(tmp_path: Path) -> tuple[Path, Path]:
    """A gzipped BTC capture with a burst of 12,000 a second in it, and a plain ETH one."""
    btc, eth = tmp_path / "btc.txt.gz", tmp_path / "eth.txt"
    lines = [noise(START_NS)]
    lines += [line(number, START_NS + number * 5_000_000) for number in range(QUIET // 2)]
    burst_ns = START_NS + QUIET // 2 * 5_000_000
    lines += [line(QUIET // 2 + n, burst_ns + n * 83_333) for n in range(BURST)]
    after_ns = burst_ns + 100_000_000
    rest = range(QUIET // 2 + BURST, QUIET + BURST)
    lines += [line(n, after_ns + (n - rest[0]) * 5_000_000) for n in rest]
    with gzip.open(btc, "wb") as file:
        file.writelines(lines)
    eth.write_bytes(
        b"".join(line(n, START_NS + n * 10_000_000, "ETHUSDT") for n in range(QUIET // 2))
    )
    return btc, eth


async def subscribe(session: BinanceMarketSession, ws: aiohttp.ClientWebSocketResponse) -> None:
    for wish in session.opening_frames():
        await ws.send_str(wish)
        assert session.receive((await ws.receive(timeout=5)).data) == ()  # acknowledged


async def collect(venue: PaperVenue, symbols: list[str], raw: list[Any]) -> list[BookTop]:
    session = BinanceMarketSession(venue.endpoint, symbols)
    tops: list[BookTop] = []
    async with aiohttp.ClientSession() as http, http.ws_connect(session.url()) as ws:
        await subscribe(session, ws)
        venue.core.running.set()
        player = venue.player
        assert player is not None
        while not player.finished.is_set() or len(tops) < sum(player.sent.values()):
            frame = (await ws.receive(timeout=5)).data
            raw.append(json.loads(frame))
            for event in session.receive(frame):
                assert isinstance(event, BookTop), event
                tops.append(event)
    return tops


async def test_no_quote_is_lost_in_a_burst_and_its_text_is_kept(
    captures: tuple[Path, Path],
) -> None:
    raw: list[Any] = []
    async with PaperVenue.start(paper_config(replay=captures)) as venue:
        started = time.monotonic()
        tops = await collect(venue, ["BTCUSDT", "ETHUSDT"], raw)
        took = time.monotonic() - started
        assert venue.player is not None
        assert venue.player.sent == {"BTCUSDT": QUIET + BURST, "ETHUSDT": QUIET // 2}
        [client] = [*venue.core.hub.clients.values(), *venue.core.hub.past]
        assert client.sent["btcusdt@bookTicker"] == QUIET + BURST

    assert took >= 1.09  # the capture's own length
    assert len(tops) == QUIET + BURST + QUIET // 2
    btc = [item["data"] for item in raw if item["stream"] == "btcusdt@bookTicker"]
    assert [item["u"] for item in btc] == [
        5_123_107_839_020 + number * 3 for number in range(QUIET + BURST)
    ]
    assert [item["B"] for item in btc] == [f"{n + 1}.507" for n in range(QUIET + BURST)]
    assert {item["E"] - item["T"] for item in btc} == {1}
    assert list(btc[0]) == ["e", "u", "s", "b", "B", "a", "A", "T", "E"]


async def test_clocks_are_moved_to_now_and_prices_drive_the_matching(
    captures: tuple[Path, Path],
) -> None:
    raw: list[Any] = []
    async with PaperVenue.start(paper_config(replay=captures[:1])) as venue:
        before_ms = venue.core.now_ms()
        assert venue.engine.markets["BTCUSDT"].quote.bid == Decimal("61800.20")
        await collect(venue, ["BTCUSDT"], raw)
        quote = venue.engine.markets["BTCUSDT"].quote
        after_ms = venue.core.now_ms()
        assert venue.core.jump("BTCUSDT", Decimal(62000)).update_id == quote.update_id + 1

    clocks = [item["data"]["E"] for item in raw]
    assert before_ms <= clocks[0] <= clocks[-1] <= after_ms + 50
    assert clocks[-1] - clocks[0] == (QUIET - 1) * 5 + 100 + 5 - 5
    assert quote.bid_size == Decimal(f"{QUIET + BURST}.507")


async def test_update_ids_go_on_growing_when_a_capture_starts_over(
    captures: tuple[Path, Path],
) -> None:
    config = paper_config(replay=captures[1:], replay_loop=True, replay_speed=Decimal(50))
    async with PaperVenue.start(config) as venue:
        session = BinanceMarketSession(venue.endpoint, ["ETHUSDT"])
        async with aiohttp.ClientSession() as http, http.ws_connect(session.url()) as ws:
            await subscribe(session, ws)
            venue.core.running.set()
            for _ in range(QUIET * 2):
                [event] = session.receive((await ws.receive(timeout=5)).data)
                assert isinstance(event, BookTop)


async def test_market_without_a_capture_keeps_its_own_prices(
    captures: tuple[Path, Path],
) -> None:
    async with PaperVenue.start(paper_config(replay=captures[:1])) as venue:
        before = venue.engine.markets["ETHUSDT"].quote.update_id
        venue.core.running.set()
        await asyncio.sleep(0.3)
        assert venue.engine.markets["ETHUSDT"].quote.update_id > before
        assert venue.core.replayed == {"BTCUSDT"}
