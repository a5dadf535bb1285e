"""A hundred thousand spoilt frames: counted, never a crash, never a false price."""

import gzip
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import pytest

from controlplane.kernel.units import Price
from markets.domain.quotes import mid
from markets.feeds.line import FeedLine
from markets.venues.binance.streams import BinanceMarketSession
from markets.venues.types import BookTop, Endpoint, MarkPrice
from tests.markets.feeds.running import book_ticker
from tests.markets.feeds.test_board import line

ROOT = Path(__file__).resolve().parents[3]
CAPTURE = ROOT.parent / "shared" / "data" / "binance_usdm_btcusdt_20240808.txt.gz"
ENDPOINT = Endpoint(rest="http://127.0.0.1:9", websocket="ws://127.0.0.1:9")
FRAMES: Final = 100_000
FARTHEST: Final = Decimal("0.16")
"""From the truth: a tenth beyond the last price believed, itself at most a twentieth off."""

WORDS = [b"NaN", b"-1", b"1e999", b"null", b"{}", b'"', b"\x00", b"\xff", b"[[[[", b"0", b"", b"9"]
PRICES: Final[tuple[Any, ...]] = (
    "0",
    "-1",
    "NaN",
    "Infinity",
    "1e400",
    "",
    "1,000",
    "٣",
    "1e-30",
    "1e17",
    None,
    5,
    [],
    {},
)


def recorded() -> Iterator[dict[str, Any]]:
    """Best-price messages of the recorded market, or made ones where it is not at hand."""
    if not CAPTURE.exists():
        yield from (json.loads(book_ticker(number))["data"] for number in range(1, 5000))
        return
    with gzip.open(CAPTURE, "rt") as lines:
        for text in lines:
            if '"bookTicker"' in text:
                yield json.loads(text.partition(" ")[2])["data"]


def spoilt(data: dict[str, Any], chance: random.Random) -> bytes:
    """Return a frame with one of the faults that venues, networks and enemies make."""
    body = dict(data)
    kind = chance.randrange(9)
    if kind == 0:  # crossed
        body["b"], body["a"] = body["a"], body["b"]
    elif kind == 1:  # no price at all
        body[chance.choice("abAB")] = chance.choice(PRICES)
    elif kind == 2:  # a leap, both sides alike
        factor = chance.choice((Decimal(2), Decimal("0.5"), Decimal(10), Decimal("0.01")))
        body["b"], body["a"] = (str(Decimal(body[side]) * factor) for side in "ba")
    elif kind == 3:  # an old or repeated number
        body["u"] -= chance.choice((0, 1, 10**6))
    elif kind == 4:  # a clock that lies
        body["E"] = chance.choice((0, -1, body["E"] // 1000, body["E"] * 1000, 10**15))
    elif kind == 5:  # a missing side
        del body[chance.choice("abABsueE")]
    elif kind == 6:  # another contract
        body["s"] = "ETHUSDT"
    frame = bytearray(json.dumps({"stream": "btcusdt@bookTicker", "data": body}).encode())
    if kind >= 7:  # cut, overwritten, torn
        for _ in range(chance.randrange(1, 6)):
            start = chance.randrange(len(frame) + 1)
            end = min(len(frame), start + chance.choice((0, 1, 1, 2, 9)))
            frame[start:end] = chance.choice([*WORDS, bytes([chance.randrange(256)])])
    return bytes(frame)


def check(feed: FeedLine, truth: Decimal) -> None:
    top = feed.top
    if top is not None:
        assert all(value.is_finite() and value > 0 for value in (top.bid, top.ask, top.bid_size))
        assert top.bid < top.ask
        assert abs(mid(top.bid, top.ask) - truth) <= truth * FARTHEST, top


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_spoilt_captures_are_counted_and_never_priced(share: float) -> None:
    chance, feed, counted = random.Random(7), line(), 0
    session = BinanceMarketSession(ENDPOINT, ["BTCUSDT"])
    feed.connected(True, "")
    for number, data in zip(range(FRAMES // 2), cycle(list(recorded())), strict=False):
        now = number / 1000
        truth = mid(Decimal(data["b"]), Decimal(data["a"]))
        if number % 500 == 0:  # a new connection, for a poisoned number shuts the old one up
            session = BinanceMarketSession(ENDPOINT, ["BTCUSDT"])
            feed.take([MarkPrice("BTCUSDT", Price(truth), None, None, None, data["E"])], now)
        is_spoilt = chance.random() < share
        if is_spoilt:
            frame: str | bytes = spoilt(data, chance)
        else:
            frame = json.dumps({"stream": "btcusdt@bookTicker", "data": data})
        events = session.receive(frame)
        counted += len(events)
        feed.take(events, now)
        check(feed, truth)
    assert feed.quotes + feed.drops.total() == counted
    assert feed.quotes > 100
    assert {"malformed", "crossed", "jump", "duplicate", "out-of-order", "foreign-symbol"} <= set(
        feed.drops
    )


@pytest.mark.parametrize("mark_lives", [True, False])
def test_leaping_tops_never_reach_the_board_and_a_real_move_does(mark_lives: bool) -> None:
    feed = line()
    said = [(100, True), (100, True), (200, False), (201, False), (50, False), (100, True)]
    for number, (price, is_shown) in enumerate(said, start=1):
        now = number * 0.4
        if mark_lives:
            feed.take([MarkPrice("BTCUSDT", Price(Decimal(100)), None, None, None, 1)], now)
        feed.take([top_at(price, number)], now)
        assert (feed.top is not None and feed.top.bid == price) is is_shown
    assert dict(feed.drops) == {"jump": 3}
    for number in range(10, 20):
        now = number * 0.6
        if mark_lives:
            feed.take([MarkPrice("BTCUSDT", Price(Decimal(150)), None, None, None, 1)], now)
        feed.take([top_at(150, number)], now)
    assert feed.top is not None
    assert feed.top.bid == 150


def test_quote_from_before_a_reconnect_is_dropped_and_a_restarted_venue_believed() -> None:
    feed = line()
    feed.connected(True, "")
    feed.take([top_at(100, 50)], 1.0)
    feed.connected(True, "")
    for number in range(1, 21):
        feed.take([top_at(101, number)], 2.0)
    assert (feed.top and feed.top.bid, dict(feed.drops)) == (100, {"out-of-order": 20})
    feed.take([top_at(101, 21)], 2.1)
    assert feed.top is not None
    assert feed.top.bid == 101


def test_older_answer_over_http_is_dropped() -> None:
    feed = line()
    feed.take([top_at(100, 50)], 1.0)
    feed.take_polled(top_at(101, 49), 2.0)
    assert (feed.received, dict(feed.drops)) == (1.0, {"out-of-order": 1})


def top_at(price: int, number: int) -> BookTop:
    bid = Price(Decimal(price))
    ask = Price(bid + Decimal("0.1"))
    return BookTop("BTCUSDT", bid, Decimal(1), ask, Decimal(1), number, number)
