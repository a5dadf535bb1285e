"""What feed-flood reports, and the venue that floods; nothing is timed."""

import asyncio
import json
from pathlib import Path

from websockets.asyncio.client import connect

from controlplane.benchmarks import feed_flood, flood
from controlplane.supervision.programs import free_port
from markets.venues.registry import VenueRegistry
from markets.venues.types import BookTop, Endpoint, MarkPrice
from tests.markets.feeds.running import until

FACTS = {
    "decide_p99": (80.0, "ms"),
    "missed": (0, "hedges"),
    "lost": (0, "orders and fills"),
    "unread": (0, "quotes"),
    "not_cut": (0, "stalled listeners"),
    "gaps": (0, "messages it missed"),
    "rss_growth": (1.2, "MB"),
}


def test_a_lost_fill_and_a_stalled_listener_that_stays_miss_the_goals() -> None:
    assert feed_flood.report(FACTS).is_met
    for name in FACTS:
        assert not feed_flood.report({**FACTS, name: (300, "")}).is_met


async def test_the_flood_comes_and_goes_with_its_file_and_tells_what_it_sent(
    tmp_path: Path,
) -> None:
    port = free_port("127.0.0.1", 0)
    serving = asyncio.create_task(flood.Flood(tmp_path).run(port))
    endpoint = Endpoint(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
    registry = VenueRegistry(allow_loopback=True)
    session = registry.market_session("binance", endpoint, ["F00USDT", "F01USDT"])
    tops: list[BookTop] = []
    (tmp_path / "go").touch()

    async def read() -> None:
        async with connect(session.url()) as socket:
            for frame in session.opening_frames():
                await socket.send(frame)
            async for text in socket:
                events = session.receive(text)
                assert all(isinstance(event, BookTop) for event in events), events
                tops.extend(event for event in events if isinstance(event, BookTop))

    for _ in range(200):
        await asyncio.sleep(0.02)
        if await _listens(port):
            break
    reading = asyncio.create_task(read())
    await until(lambda: len(tops) > 1000, seconds=30)
    (tmp_path / "go").unlink()
    told = tmp_path / "sent"
    await until(lambda: told.exists() and told.read_text() == str(len(tops)), seconds=30)
    assert [top.sequence for top in tops] == list(range(1, len(tops) + 1))
    for task in (reading, serving):
        task.cancel()
    await asyncio.gather(reading, serving, return_exceptions=True)


async def _listens(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def test_its_marks_are_marks() -> None:
    registry = VenueRegistry(allow_loopback=True)
    endpoint = Endpoint("http://127.0.0.1:9", "ws://127.0.0.1:9")
    session = registry.mark_session("binance", endpoint, ["F00USDT"])
    [mark] = session.receive(flood._mark("f00usdt@markPrice@1s"))
    assert isinstance(mark, MarkPrice)
    names: list[str] = []
    flood._answer({"method": "SUBSCRIBE", "params": ["a@b"], "id": 1}, names)
    assert json.loads(flood._answer({"method": "LIST_SUBSCRIPTIONS", "id": 2}, names)) == {
        "result": ["a@b"],
        "id": 2,
    }
