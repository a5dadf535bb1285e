"""What the board shows, without sockets and without a database."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.kernel.units import Price
from markets.choices import FeedSource, FeedStatus, SynthReason
from markets.domain.health import unheard_status
from markets.feeds.board import QuoteBoard
from markets.feeds.latency import LatencyWindow
from markets.feeds.line import FeedLine
from markets.venues.binance.streams import BinanceMarketSession
from markets.venues.types import BookTop, Endpoint, MarketEvent, MarkPrice, Quarantined
from tests.markets.feeds.running import book_ticker

ENDPOINT = Endpoint(rest="http://127.0.0.1:9", websocket="ws://127.0.0.1:9")


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall = datetime(2026, 1, 2, tzinfo=UTC)

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


def line(feed_id: str = "a", symbol: str = "BTC") -> FeedLine:
    return FeedLine(feed_id, symbol, fresh_ms=2000, failover_ms=10_000, since=Clock().now())


def top(bid: str = "99", ask: str = "101", *, venue_ms: int = 1, sequence: int = 1) -> BookTop:
    return BookTop(
        "BTCUSDT",
        Price(Decimal(bid)),
        Decimal(1),
        Price(Decimal(ask)),
        Decimal(2),
        venue_ms,
        sequence,
    )


@pytest.mark.parametrize("clock_offset_ms", [-1_270, 0, 86_400_000])
def test_latency_ignores_the_offset_of_the_clocks(clock_offset_ms: int) -> None:
    window = LatencyWindow()
    for number in range(1000):
        delay_ms = 5 + (40 if number % 10 == 0 else 0)
        window.add((number * 10 + delay_ms) / 1000, number * 10 - clock_offset_ms)
    assert window.roll() == 40


def test_latency_is_unknown_after_a_minute_of_silence() -> None:
    window = LatencyWindow()
    window.add(1.0, 0)
    assert [window.roll() for _ in range(61)] == [0] * 60 + [None]


def test_only_a_quote_counts_as_data() -> None:
    feed = line()
    feed.take([MarkPrice("BTCUSDT", Price(Decimal(100)), None, None, None, 1)], 5.0)
    feed.take([Quarantined("crossed", "x")], 6.0)
    assert feed.received is None
    feed.take([top()], 7.0)
    assert (feed.received, feed.quotes, feed.mark, dict(feed.drops)) == (
        7.0,
        1,
        100,
        {"crossed": 1},
    )


def test_latest_quote_wins_and_is_stored_once() -> None:
    board = QuoteBoard(Clock())
    feed = line()
    board.open(feed)
    feed.take([top(sequence=1), top(sequence=2)], 1.0)
    [latest] = board.unstored()
    assert latest.top.sequence == 2
    feed.take([top(sequence=3)], 2.0)
    board.were_stored([latest])
    [latest] = board.unstored()
    assert latest.top.sequence == 3
    board.were_stored([latest])
    assert board.unstored() == []


def test_reference_price_leaves_out_what_is_not_fresh() -> None:
    clock = Clock()
    board = QuoteBoard(clock)
    for feed_id, bid, received in (("a", "99", 1000.0), ("b", "103", 999.0), ("c", "50", 997.9)):
        feed = line(feed_id)
        board.open(feed)
        feed.take([top(bid, str(int(bid) + 2))], received)
    assert board.references() == {"BTC": Decimal(102)}
    clock.seconds += 2.5
    assert board.references() == {}


def test_receipt_is_told_by_the_wall_clock_of_the_moment() -> None:
    clock = Clock()
    board = QuoteBoard(clock)
    assert board.wall_time(clock.seconds - 1.5) == clock.wall - timedelta(seconds=1.5)


def test_closing_a_replaced_line_leaves_the_new_one() -> None:
    board = QuoteBoard(Clock())
    old, new = line(), line()
    board.open(old)
    board.open(new)
    board.close(old)
    assert list(board) == [new]


def believable(event: MarketEvent) -> bool:
    """Tell whether a price that got through may be used."""
    if not isinstance(event, BookTop):
        return True
    numbers = (event.bid, event.ask, event.bid_size, event.ask_size)
    return (
        event.venue_symbol == "BTCUSDT"
        and all(number.is_finite() and number > 0 for number in numbers)
        and event.bid < event.ask
        and 0 < event.venue_ms < 4_102_444_800_000
    )


GOOD = book_ticker(7).encode()
POISON = [b"NaN", b"-1", b"1e999", b"null", b"{}", b'"', b"\x00", b"\xff", b"[[[[", b"0", b""]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_frames_never_raise_and_never_give_a_false_price(seed: int, times: int) -> None:
    chance = random.Random(seed)
    frame = bytearray(GOOD)
    for _ in range(times):
        start = chance.randrange(len(frame) + 1)
        end = min(len(frame), start + chance.choice((0, 1, 1, 2, 9)))
        frame[start:end] = chance.choice([*POISON, bytes([chance.randrange(256)])])
    feed = line()
    events = BinanceMarketSession(ENDPOINT, ["BTCUSDT"]).receive(bytes(frame))
    assert all(map(believable, events))
    feed.take(events, 1.0)
    assert feed.quotes + feed.drops.total() == len(events)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_noise_never_raises_and_never_gives_a_price(frame: bytes | str) -> None:
    events = BinanceMarketSession(ENDPOINT, ["BTCUSDT"]).receive(frame)
    assert not any(isinstance(event, BookTop) for event in events)


@pytest.mark.parametrize(
    ("status", "age_ms", "is_held", "expected"),
    [
        ("healthy", 10_500, True, "healthy"),
        ("healthy", 10_500.5, True, "failing"),
        ("degraded", 10_500, True, "degraded"),
        ("degraded", None, True, "failing"),
        ("failing", 0, True, "failing"),
        ("healthy", -5000, True, "healthy"),
        ("healthy", 0, False, "failing"),
    ],
)
def test_status_on_record_only_ever_gets_worse(
    status: str, age_ms: float | None, is_held: bool, expected: str
) -> None:
    seen = unheard_status(FeedStatus(status), age_ms, failover_ms=10_000, is_held=is_held)
    assert seen is FeedStatus(expected)


def test_delays_are_counted_over_all_seconds() -> None:
    window = LatencyWindow()
    assert (window.p99(), window.worst()) == (None, None)
    for second in range(3):
        for number in range(100):
            window.add(10.0 + second, round((10.0 + second) * 1000) - (number == 99) * 7 - 3)
        assert window.roll() == 0
    window.add(20.0, 19_000)
    window.roll()
    assert (window.p99(), window.worst()) == (7, 997)
    window.add(21.0, 20_997)
    window.roll()
    assert (window.p99(), window.worst()) == (7, 997)


def mark(price: str, at: float, feed: FeedLine) -> None:
    feed.take([MarkPrice("BTCUSDT", Price(Decimal(price)), None, None, None, 1)], at)


def test_quiet_stream_is_healthy_while_marks_live_and_http_confirms_it() -> None:
    feed = line()
    feed.connected(True, "")
    feed.take([top()], 0.0)
    sources = []
    for step in range(1, 60):
        now = step / 2
        mark("100", now, feed)
        if feed.wants_poll(now):
            feed.take_polled(top(), now)
        sources.append((feed.status(now), feed.source(now)))
        assert feed.fresh_mid(now) == 100
    assert set(sources) == {(FeedStatus.HEALTHY, FeedSource.WEBSOCKET)}


@pytest.mark.parametrize("missing", ["marks", "answers", "agreement", "connection"])
def test_no_part_of_the_proof_of_quiet_is_enough_without_the_others(missing: str) -> None:
    feed = line()
    feed.connected(True, "")
    feed.take([top()], 0.0)
    feed.status(0.0)
    if missing == "connection":
        feed.connected(False, "gone")
    for step in range(1, 8):
        now = step / 2
        if missing != "marks":
            mark("100", now, feed)
        if missing != "answers":
            feed.take_polled(top("99.5" if missing == "agreement" else "99"), now)
        feed.status(now)
    assert feed.status(3.5) is FeedStatus.DEGRADED
    expected = FeedSource.NONE if missing == "answers" else FeedSource.HTTP
    assert feed.source(3.5) is expected


def test_chain_goes_down_by_age_and_says_why() -> None:
    feed = line()
    feed.connected(True, "")
    feed.take([top()], 0.0)
    assert feed.status(2.0) is FeedStatus.HEALTHY
    assert (feed.wants_poll(2.0), feed.wants_synthetic(2.0)) == (False, None)
    assert feed.source(2.1) is FeedSource.NONE
    assert feed.wants_poll(2.1)
    assert feed.wants_synthetic(2.75) is None
    assert feed.wants_synthetic(2.8) is SynthReason.WS_FAILOVER
    feed.synthesized = 2.8
    assert feed.source(2.9) is FeedSource.SYNTHETIC
    feed.poll_trouble = "refused"
    assert feed.wants_synthetic(3.0) is SynthReason.HTTP_TIMEOUT
    feed.take_polled(top("98"), 3.5)
    assert (feed.source(3.6), feed.wants_synthetic(3.6)) == (FeedSource.HTTP, None)


def test_forced_feed_uses_what_it_was_forced_to_and_is_never_healthy() -> None:
    for forced, source in ((FeedSource.HTTP, FeedSource.HTTP), (FeedSource.SYNTHETIC, "none")):
        feed = FeedLine(
            "a", "BTC", fresh_ms=2000, failover_ms=10_000, since=Clock().now(), forced=forced
        )
        feed.resume(FeedStatus.DEGRADED)
        feed.take_polled(top(), 1.0)
        assert feed.status(1.1) is not FeedStatus.HEALTHY
        assert feed.source(1.1) == source
        assert feed.wants_poll(1.1) is (forced is FeedSource.HTTP)
    assert feed.wants_synthetic(1.1) is SynthReason.MANUAL


def test_basis_is_learnt_from_healthy_feeds_only() -> None:
    board = QuoteBoard(Clock())
    for feed_id, bid in (("a", "1009"), ("b", "999"), ("c", "999")):
        feed = line(feed_id)
        board.open(feed)
        feed.take([top(bid, str(int(bid) + 2))], 1000.0)
    board.learn_bases(1000.0)
    assert {feed.feed_id: feed.basis for feed in board} == {
        "a": Decimal("0.01"),
        "b": Decimal(1000) / 1005 - 1,
        "c": Decimal(1000) / 1005 - 1,
    }
    board.learn_bases(1003.0)
    assert next(iter(board)).basis == Decimal("0.01")


def test_marks_are_silent_once_they_stay_away_past_the_deadline_while_quotes_flow() -> None:
    feed = line()
    seen = []
    for second in range(40):
        now = float(second)
        if second < 30:
            feed.take([top()], now)
        if second < 5 or 20 <= second < 22:
            mark("100", now, feed)
        feed.watch_marks(now)
        seen.append(feed.marks_are_silent)
    # The last mark came at 4 s and 10 s are the deadline; at 30 s the venue falls silent whole.
    assert [second for second in range(1, 40) if seen[second] != seen[second - 1]] == [15, 20]
    assert feed.status(29.5) is FeedStatus.HEALTHY
