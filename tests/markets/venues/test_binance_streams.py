"""The stream sessions: what is believed, what is quarantined, and that nothing makes them raise."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.venues.binance.streams import BinanceMarketSession, BinancePrivateSession
from markets.venues.types import (
    AccountUpdate,
    BookTop,
    Endpoint,
    MarkPrice,
    OrderStatus,
    OrderUpdate,
    Quarantined,
    Side,
    StreamEnded,
)

ENDPOINT = Endpoint("https://fapi.binance.com", "wss://fstream.binance.com")


def market(*symbols: str) -> BinanceMarketSession:
    return BinanceMarketSession(ENDPOINT, symbols or ("BTCUSDT",))


def ticker(**changes: Any) -> dict[str, Any]:
    """The vendor's shape, as recorded in August 2024."""
    body: dict[str, Any] = {
        "e": "bookTicker",
        "u": 5123107839020,
        "s": "BTCUSDT",
        "b": "61800.20",
        "B": "2.507",
        "a": "61800.30",
        "A": "2.510",
        "T": 1723161256313,
        "E": 1723161256313,
    }
    body |= changes
    return {key: value for key, value in body.items() if value is not None}


def combined(body: object) -> str:
    return json.dumps({"stream": "btcusdt@bookTicker", "data": body})


def test_streams_are_asked_for_on_the_path_that_serves_them() -> None:
    session = market("ETHUSDT", "BTCUSDT")
    assert session.url() == "wss://fstream.binance.com/public/stream"
    assert [json.loads(frame) for frame in session.opening_frames()] == [
        {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "ethusdt@bookTicker"], "id": 1},
        {"method": "LIST_SUBSCRIPTIONS", "id": 2},
    ]
    marks = BinanceMarketSession(ENDPOINT, ["BTCUSDT"], marks=True)
    assert marks.url() == "wss://fstream.binance.com/market/stream"
    [asked] = marks.opening_frames()
    assert json.loads(asked)["params"] == ["btcusdt@markPrice@1s"]


def test_symbols_come_and_go_while_the_socket_stands() -> None:
    session = market("BTCUSDT")
    assert session.receive('{"result":["btcusdt@bookTicker"],"id":2}') == ()
    assert session.channels.missing == set()
    asked, _listed = session.subscribe(["ETHUSDT"])
    assert json.loads(asked) == {"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 3}
    assert session.channels.missing == {"ethusdt@bookTicker"}
    [event] = session.receive(combined(ticker(s="ETHUSDT")))
    assert (event.venue_symbol, session.channels.missing) == ("ETHUSDT", set())
    [left] = session.unsubscribe(["ETHUSDT"])
    assert json.loads(left) == {"method": "UNSUBSCRIBE", "params": ["ethusdt@bookTicker"], "id": 5}
    assert session.receive(combined(ticker(s="ETHUSDT", u=5123107839021))) == ()
    assert isinstance(session.receive(combined(ticker()))[0], BookTop)


def test_quotes_are_proven_by_data_or_by_the_venues_list_and_marks_by_data_alone() -> None:
    session = market("ETHUSDT", "BTCUSDT")
    assert session.receive('{"result":null,"id":1}') == ()
    assert session.channels.missing == {"btcusdt@bookTicker", "ethusdt@bookTicker"}
    session.receive(combined(ticker()))
    assert session.channels.missing == {"ethusdt@bookTicker"}
    assert session.receive('{"result":["ethusdt@bookTicker"],"id":2}') == ()
    assert session.channels.missing == set()
    marks = BinanceMarketSession(ENDPOINT, ["BTCUSDT"], marks=True)
    assert marks.receive('{"result":["btcusdt@markPrice@1s"],"id":2}') == ()
    assert marks.channels.missing == {"btcusdt@markPrice@1s"}


def test_refused_request_is_told_and_proves_nothing() -> None:
    session = market("BTCUSDT")
    [event] = session.receive('{"error":{"code":2,"msg":"Invalid request"},"id":1}')
    assert isinstance(event, Quarantined)
    assert event.reason == "refused-subscription"
    assert session.channels.missing == {"btcusdt@bookTicker"}
    assert session.receive('{"result":null,"id":1}') == ()
    assert session.channels.missing == {"btcusdt@bookTicker"}


def test_frame_that_cannot_be_read_is_laid_to_the_symbol_its_wrapper_names() -> None:
    session = market("ETHUSDT", "BTCUSDT")
    cut = combined(ticker())[:80]
    [known] = session.receive(cut)
    [unknown] = session.receive(cut.replace("btcusdt", "dogeusdt"))
    assert (known.venue_symbol, unknown.venue_symbol) == ("BTCUSDT", "")


@pytest.mark.parametrize(
    "frame", [combined(ticker()), json.dumps(ticker())], ids=["wrapped", "raw"]
)
@pytest.mark.parametrize("encoded", [False, True], ids=["text", "bytes"])
def test_book_ticker_is_read_exactly(frame: str, encoded: bool) -> None:
    [event] = market().receive(frame.encode() if encoded else frame)
    assert event == BookTop(
        venue_symbol="BTCUSDT",
        bid=Decimal("61800.20"),  # type: ignore[arg-type]
        bid_size=Decimal("2.507"),
        ask=Decimal("61800.30"),  # type: ignore[arg-type]
        ask_size=Decimal("2.510"),
        venue_ms=1723161256313,
        sequence=5123107839020,
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"s": "ETHUSDT"}, "foreign-symbol"),
        ({"b": "61800.30"}, "crossed"),
        ({"b": "61900"}, "crossed"),
        ({"b": "0"}, "not-positive"),
        ({"a": "-61800.30"}, "not-positive"),
        ({"B": "0.000"}, "not-positive"),
        ({"A": "-1"}, "not-positive"),
        ({"b": "NaN"}, "bad-number"),
        ({"a": "Infinity"}, "bad-number"),
        ({"a": "1e400"}, "bad-number"),
        ({"a": "1" * 40}, "bad-number"),
        ({"b": ""}, "bad-number"),
        ({"b": "61,800.2"}, "bad-number"),
        ({"b": "٦١٨٠٠"}, "bad-number"),
        ({"b": None}, "malformed"),
        ({"a": None}, "malformed"),
        ({"b": 61800.2}, "malformed"),
        ({"u": "5"}, "malformed"),
        ({"u": 1.5}, "malformed"),
        ({"E": 0}, "bad-time"),
        ({"E": 100_000_000_000_000}, "bad-time"),
        ({"E": -5}, "bad-time"),
    ],
)
def test_unsound_quote_is_quarantined_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    session = market()
    [event] = session.receive(combined(ticker(**changes)))
    assert isinstance(event, Quarantined)
    assert event.reason == reason
    assert isinstance(session.receive(combined(ticker()))[0], BookTop)


def test_update_ids_only_grow_within_a_session() -> None:
    session = market()
    reasons = []
    for update in (10, 10, 9, 11):
        [event] = session.receive(combined(ticker(u=update)))
        reasons.append(event.reason if isinstance(event, Quarantined) else "")
    assert reasons == ["", "duplicate", "out-of-order", ""]
    assert isinstance(market().receive(combined(ticker(u=1)))[0], BookTop)


def test_order_of_update_ids_is_kept_per_symbol() -> None:
    session = market("BTCUSDT", "ETHUSDT")
    session.receive(combined(ticker(u=10)))
    assert isinstance(session.receive(combined(ticker(u=5, s="ETHUSDT")))[0], BookTop)


@pytest.mark.parametrize(
    "frame",
    [
        '{"result":null,"id":1}',
        '{"error":{"code":2,"msg":"Invalid request"},"id":2}',
        '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1,"s":"BTCUSDT"}}',
        '{"e":"somethingNew","E":1}',
    ],
)
def test_answers_and_unknown_events_are_passed_over(frame: str) -> None:
    assert market().receive(frame) == ()
    assert BinancePrivateSession().receive(frame) == ()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        b"\xff\xfe",
        '{"e":null}',
        "[" * 9000,
        "NaN",
    ],
)
def test_malformed_frame_is_quarantined(frame: str | bytes) -> None:
    for session in (market(), BinancePrivateSession()):
        [event] = session.receive(frame)
        assert isinstance(event, Quarantined)
        assert event.reason == "malformed"


def test_mark_price_is_read_exactly() -> None:
    body = {
        "e": "markPriceUpdate",
        "E": 1562305380000,
        "s": "BTCUSDT",
        "p": "11794.15000000",
        "i": "11784.62659091",
        "P": "11784.25641265",
        "r": "-0.00038167",
        "T": 1562306400000,
    }
    [event] = market().receive(combined(body))
    assert isinstance(event, MarkPrice)
    assert event.mark == Decimal("11794.15")
    assert event.index == Decimal("11784.62659091")
    assert event.funding_rate == Decimal("-0.00038167")
    assert event.next_funding_ms == 1562306400000
    [bad] = market().receive(combined(body | {"r": "NaN"}))
    assert isinstance(bad, Quarantined)


# The user stream


def order_frame(**changes: Any) -> str:
    body: dict[str, Any] = {
        "s": "BTCUSDT",
        "c": "OURS1",
        "S": "SELL",
        "o": "MARKET",
        "f": "GTC",
        "q": "0.100",
        "p": "0",
        "ap": "61800.2",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": 8886774,
        "l": "0.040",
        "z": "0.040",
        "L": "61800.2",
        "n": "1.23600400",
        "N": "USDT",
        "T": 1723161256313,
        "t": 109100866,
        "m": False,
        "R": True,
    }
    body |= changes
    event = {"e": "ORDER_TRADE_UPDATE", "E": 1723161256320, "T": 1723161256313, "o": body}
    return json.dumps(event)


def test_order_update_carries_its_fill() -> None:
    [event] = BinancePrivateSession().receive(order_frame())
    assert isinstance(event, OrderUpdate)
    assert event.order.status is OrderStatus.PARTIALLY_FILLED
    assert event.order.side is Side.SELL
    assert event.order.filled == Decimal("0.04")
    assert event.order.reduce_only
    assert event.fill is not None
    assert (event.fill.trade_id, event.fill.amount) == ("109100866", Decimal("0.04"))
    assert event.fill.fee == Decimal("1.236004")


def test_new_order_update_has_no_fill() -> None:
    [event] = BinancePrivateSession().receive(
        order_frame(x="NEW", X="NEW", l="0", z="0", L="0", ap="0", t=0, n=None, N=None)
    )
    assert isinstance(event, OrderUpdate)
    assert event.fill is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"z": "0.200"}, "bad-filled"),
        ({"X": "FILLED"}, "bad-filled"),
        ({"l": "0.050"}, "bad-filled"),
        ({"q": "-0.1"}, "not-positive"),
        ({"L": "NaN"}, "bad-number"),
        ({"ap": "0"}, "not-positive"),
        ({"t": 0}, "bad-id"),
        ({"i": -1}, "bad-id"),
        ({"S": "BOTH"}, "unknown-side"),
        ({"X": "WHATEVER"}, "unknown-status"),
        ({"n": "Infinity"}, "bad-number"),
        ({"T": 10**15}, "bad-time"),
        ({"c": None}, "malformed"),
    ],
)
def test_poisoned_order_update_is_quarantined(changes: dict[str, Any], reason: str) -> None:
    [event] = BinancePrivateSession().receive(order_frame(**changes))
    assert isinstance(event, Quarantined)
    assert event.reason == reason


def account_frame(side: str = "BOTH", amount: str = "-0.100") -> str:
    return json.dumps(
        {
            "e": "ACCOUNT_UPDATE",
            "E": 1723161256320,
            "T": 1723161256313,
            "a": {
                "m": "ORDER",
                "B": [{"a": "BNB", "wb": "1"}, {"a": "USDT", "wb": "122624.12345678"}],
                "P": [{"s": "BTCUSDT", "pa": amount, "ep": "61800.2", "up": "-1.5", "ps": side}],
            },
        }
    )


def test_account_update_gives_absolute_sizes_and_the_wallet() -> None:
    [event] = BinancePrivateSession().receive(account_frame())
    assert isinstance(event, AccountUpdate)
    assert event.positions[0].size == Decimal("-0.1")
    assert event.wallet_balance == Decimal("122624.12345678")
    assert event.reason == "ORDER"


def test_hedge_mode_positions_are_not_netted() -> None:
    [event] = BinancePrivateSession().receive(account_frame("LONG", "0.1"))
    assert event == Quarantined("hedge-mode", "BTCUSDT LONG")


def test_end_of_the_listen_key_ends_the_stream_and_does_not_show_it() -> None:
    frame = '{"e":"listenKeyExpired","E":1736996475556,"listenKey":"WsCMN0a4KHUPTQuX6IUnqE"}'
    [event] = BinancePrivateSession().receive(frame)
    assert event == StreamEnded("listenKeyExpired")
    [bad] = BinancePrivateSession().receive(frame.replace("1736996475556", '"x"'))
    assert isinstance(bad, Quarantined)
    assert "WsCMN0a4" not in bad.detail


TEXT = st.text(st.characters(max_codepoint=0x6FF), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
HOSTILE = st.one_of(
    JSON,
    st.sampled_from(["NaN", "-Infinity", "1e999", "-0", "", "0x10", "1_000", "9" * 70, "61800.2"]),
    st.decimals().map(str),
)


@given(st.dictionaries(st.sampled_from(list(ticker())), HOSTILE), st.booleans())
def test_no_market_frame_raises_or_yields_a_non_finite_price(
    changes: dict[str, Any], wrapped: bool
) -> None:
    body = ticker(**changes)
    session = market()
    for event in session.receive(combined(body) if wrapped else json.dumps(body)):
        assert isinstance(event, BookTop | Quarantined)
        if isinstance(event, BookTop):
            assert 0 < event.bid < event.ask < Decimal("Infinity")
            assert event.bid_size > 0
            assert event.ask_size > 0


@given(st.binary() | TEXT | JSON.map(json.dumps))
def test_no_bytes_make_a_session_raise(frame: str | bytes) -> None:
    for session in (market(), BinancePrivateSession()):
        assert len(session.receive(frame)) <= 1


@given(st.dictionaries(st.sampled_from(list(json.loads(order_frame())["o"])), HOSTILE))
def test_no_order_frame_raises_or_yields_a_non_finite_number(changes: dict[str, Any]) -> None:
    for event in BinancePrivateSession().receive(order_frame(**changes)):
        assert isinstance(event, OrderUpdate | Quarantined)
        if isinstance(event, OrderUpdate):
            order = event.order
            assert 0 <= order.filled <= order.amount < Decimal("Infinity")
            if event.fill is not None:
                assert event.fill.price.is_finite()
                assert event.fill.fee.is_finite()
