"""Pacifica's documented and recorded payloads become reports exactly, number by number."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from markets.venues.checks import MAX_MS, BadAnswer, decode, moment
from markets.venues.errors import (
    AuthenticationFailed,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
)
from markets.venues.pacifica import ids, parsing, wire
from markets.venues.pacifica.errors import failure
from markets.venues.pacifica.streams import PacificaMarketSession, PacificaPrivateSession
from markets.venues.shared import HttpAnswer
from markets.venues.types import (
    AccountUpdate,
    BookTop,
    Endpoint,
    FillReport,
    MarkPrice,
    OrderStatus,
    OrderUpdate,
    Quarantined,
    Side,
    Transfer,
)
from tests.payloads import payload

RECORDED = payload("pacifica", "ccxt_static_response")
COMMENTS = payload("pacifica", "ccxt_comment_rest")
SOCKET = payload("pacifica", "docs_ws")
SOCKET_COMMENTS = payload("pacifica", "ccxt_comment_ws")
ENDPOINT = Endpoint("https://api.pacifica.fi", "wss://ws.pacifica.fi")
AT = datetime(2026, 1, 1, tzinfo=UTC)
D = Decimal


def body(of: Any) -> bytes:
    return json.dumps(of).encode()


def test_markets_are_perpetuals_with_their_steps() -> None:
    for listing in (RECORDED["fetchMarkets"], COMMENTS["fetch_markets"][0]):
        [btc] = parsing.instruments(body(listing))
        assert (btc.venue_symbol, btc.base, btc.quote) == ("BTC", "BTC", "USDC")
        assert (btc.tick, btc.lot, btc.min_qty) == (1, D("0.00001"), D("0.00001"))
        assert (btc.min_notional, btc.max_qty, btc.max_leverage) == (10, None, 50)
    testnet = {"success": True, "data": RECORDED["markets_info_testnet"]}
    found = {item.venue_symbol: item for item in parsing.instruments(body(testnet))}
    assert set(found) == {"BTC", "ETH", "SOL", "BNB", "HYPE", "PAXG"}
    assert (found["HYPE"].tick, found["HYPE"].lot) == (D("0.001"), D("0.01"))
    assert found["PAXG"].max_leverage == 10


def test_a_market_that_cannot_be_read_is_left_out() -> None:
    rows = [dict(row) for row in RECORDED["markets_info_testnet"]]
    rows[0]["tick_size"] = "0"
    found = parsing.instruments(body({"success": True, "data": rows}))
    assert [item.venue_symbol for item in found] == ["ETH", "SOL", "BNB", "HYPE", "PAXG"]


def test_book_and_funding() -> None:
    top = parsing.book_top(body(RECORDED["fetchOrderBook"]), symbol="BTC")
    assert (top.bid, top.bid_size) == (89204, D("0.0103"))
    assert (top.ask, top.ask_size) == (89383, D("0.00617"))
    assert top.venue_ms == 1769553881390
    with pytest.raises(BadAnswer, match="not-ours"):
        parsing.book_top(body(RECORDED["fetchOrderBook"]), symbol="ETH")
    one_sided = {"success": True, "data": {"s": "BTC", "l": [[], []], "t": 1}}
    with pytest.raises(BadAnswer, match="one-sided"):
        parsing.book_top(body(one_sided), symbol="BTC")
    [quote] = parsing.funding_quotes(body(COMMENTS["fetch_funding_rates"][0]))
    assert (quote.venue_symbol, quote.rate) == ("XPL", D("0.00011096"))
    assert (quote.mark_price, quote.interval_hours) == (D("1.084819"), 1)
    assert quote.next_funding_at == datetime(2025, 9, 30, 10, tzinfo=UTC)


def test_account_and_positions() -> None:
    balance = parsing.balance(body(RECORDED["fetchBalance"]), at=AT)
    assert (balance.equity, balance.available) == (D("100.717133"), D("100.717133"))
    assert (balance.initial_margin, balance.asset) == (0, "USDC")
    spot = parsing.balance(body(COMMENTS["fetch_balance"][0]), at=AT)
    assert (spot.wallet_balance, spot.equity) == (D("4970.000323"), D("5478.140323"))
    assert spot.available == D("5376.512323")
    [short] = parsing.positions(body(RECORDED["fetchPositions"]), at=AT)
    assert (short.venue_symbol, short.size) == ("BTC", D("-0.007"))
    assert (short.entry_price, short.liquidation_price) == (89114, D("102443.420678"))
    assert (short.mark_price, short.unrealized_pnl) == (None, None)
    [aave] = parsing.positions(body(COMMENTS["fetch_positions"][0]), at=AT)
    assert (aave.size, aave.liquidation_price) == (D("-223.72"), None)


def test_orders_open_and_past() -> None:
    first, second = parsing.open_orders(body(RECORDED["fetchOpenOrders"]))
    assert (first.venue_order_id, second.venue_order_id) == ("241146145", "241144447")
    assert (first.status, first.amount, first.price) == (OrderStatus.OPEN, D("0.002"), 87768)
    assert (first.side, first.client_order_id) == (Side.BUY, "")
    [ask] = parsing.open_orders(body(COMMENTS["fetch_open_orders"][0]))
    assert ids.to_venue(ask.client_order_id) == "add9a4b5-c7f7-4124-b57f-86982d86d479"
    assert (ask.side, ask.amount, ask.price) == (Side.SELL, D("85.33"), D("1.836"))
    page = parsing.past_orders(body({"success": True, **COMMENTS["fetch_orders"][0]}))
    assert page.cursor == "1111Hyd74"
    past = parsing.past_order(page.rows[0])
    assert (past.status, past.amount, past.price) == (OrderStatus.OPEN, 984, D("1.0865"))


def test_an_open_order_with_fills_is_partially_filled() -> None:
    answer = json.loads(body(RECORDED["fetchOpenOrders"]))
    answer["data"][0]["filled_amount"] = "0.0005"
    report = parsing.open_orders(body(answer))[0]
    assert (report.status, report.filled) == (OrderStatus.PARTIALLY_FILLED, D("0.0005"))
    answer["data"][0]["filled_amount"] = "999"
    with pytest.raises(BadAnswer, match="bad-filled"):
        parsing.open_orders(body(answer))


def test_trades_and_funding_payments() -> None:
    page = parsing.fills(
        body({"success": True, **COMMENTS["fetch_my_trades"][0]}), venue_symbol="LDO"
    )
    [fill] = page.rows
    assert (fill.trade_id, fill.venue_order_id, page.cursor) == (
        "19329801",
        "315293920",
        "11111Z5RK",
    )
    assert (fill.side, fill.amount, fill.price) == (Side.BUY, D("0.1"), D("1.1904"))
    assert (fill.fee, fill.fee_asset, fill.is_maker) == (0, "USDC", True)
    [paid] = parsing.payments(body(COMMENTS["fetch_funding_history"][0])).rows
    assert (paid.payment_id, paid.amount, paid.asset) == ("2287920", D("2.617479"), "USDC")
    assert paid.at == moment(1759222804122, "")


def event(**fields: object) -> dict[str, object]:
    return {**COMMENTS["parse_transaction"][0], **fields}


def test_balance_events_are_transfers_unless_trades_or_funding_tell_of_them() -> None:
    found = {
        "success": True,
        "data": [event(), event(event_type="trade"), event(event_type="gift"), event(amount="0")],
    }
    page = parsing.balance_events(body(found), now_ms=MAX_MS)
    moved, trade, unknown, nothing = (line.said for line in page.rows)
    assert isinstance(moved, Transfer)
    assert (moved.kind, moved.amount, moved.asset) == ("deposit", D(5000), "USDC")
    assert (moved.transfer_id, moved.at) == (
        "1789199771373/5000/5000",
        moment(1789199771373, ""),
    )
    assert (trade, nothing) == (None, None)
    assert unknown == Quarantined("unknown-kind", "gift")


def test_confirmations() -> None:
    assert parsing.accepted(body(RECORDED["createOrder_market"])) == "241159097"
    with pytest.raises(BadAnswer):
        parsing.accepted(body(RECORDED["createOrder_position_tpsl"]))
    cancelled = decode(body(RECORDED["cancelAllOrders_symbol"]), wire.Envelope[wire.Cancelled])
    assert cancelled.data.cancelled_count == 1
    assert decode(body(COMMENTS["cancel_order"][0]), wire.Envelope[Any]).data is None


def test_errors_are_told_apart_by_number_and_id() -> None:
    kinds = [
        type(failure(HttpAnswer(entry["http"], {}, body(entry["body"]))))
        for entry in payload("pacifica", "errors")
    ]
    assert kinds == [
        AuthenticationFailed,
        AuthenticationFailed,
        OutcomeUnknown,
        AuthenticationFailed,
        VenueRejected,
        VenueRejected,
        RateLimited,
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0, OutcomeUnknown),
        (5, VenueRejected),
        (6, OrderNotFound),
        (14, OutcomeUnknown),
        (26, OutcomeUnknown),
        (27, OutcomeUnknown),
        (36, OutcomeUnknown),
        (37, OrderNotFound),
        (500, OutcomeUnknown),
        (None, OutcomeUnknown),
    ],
)
def test_numeric_codes(code: int | None, kind: type[Exception]) -> None:
    said = {"success": False, "data": None, "error": "words", "code": code}
    assert type(failure(HttpAnswer(422, {}, body(said)))) is kind


def test_how_long_to_wait() -> None:
    def wait(headers: dict[str, str]) -> float:
        error = failure(HttpAnswer(429, headers, b"slow down"))
        assert isinstance(error, RateLimited)
        return error.retry_after

    assert wait({"Retry-After": "7"}) == 7
    assert wait({"RateLimit": '"credits";r=0;t=23'}) == 23
    assert wait({"ratelimit": "limit=10, t=0"}) == 1
    assert wait({}) == 60


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"success":null}'),
        (502, b'{"success":true,"data":{"order_id":1}}'),
        (503, b'{"success":false,"error":"x","code":5}'),
        (403, b"<html>blocked</html>"),
    ],
)
def test_what_is_no_evidence_is_unknown(status: int, content: bytes) -> None:
    assert isinstance(failure(HttpAnswer(status, {}, content)), OutcomeUnknown)


def test_quotes_and_marks_over_the_socket() -> None:
    quotes = PacificaMarketSession(ENDPOINT, ["BTC"])
    assert quotes.url() == "wss://ws.pacifica.fi/ws"
    assert [json.loads(frame) for frame in quotes.opening_frames()] == [SOCKET["subscribe_bbo"]]
    assert json.loads(quotes.heartbeat() or "") == SOCKET["ping"]
    [top] = quotes.receive(body(SOCKET["bbo"]))
    assert isinstance(top, BookTop)
    assert (top.bid, top.bid_size, top.ask, top.ask_size) == (
        87185,
        D("1.234"),
        87186,
        D("0.567"),
    )
    assert (top.venue_ms, top.sequence) == (1764133203991, 1325476098)
    [again] = quotes.receive(body(SOCKET["bbo"]))
    assert isinstance(again, Quarantined)
    assert again.reason == "duplicate"
    for quiet in (SOCKET["pong"], SOCKET["subscribe_ack"]):
        assert quotes.receive(body(quiet)) == ()
    marks = PacificaMarketSession(ENDPOINT, ["BTC"], marks=True)
    [mark] = marks.receive(body(SOCKET_COMMENTS["handle_ws_tickers"][0]))
    assert isinstance(mark, MarkPrice)
    assert (mark.mark, mark.index, mark.funding_rate) == (105473, 105473, D("0.0000125"))
    assert mark.next_funding_ms == 1749052800000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"s": "ETH"}, "foreign-symbol"),
        ({"b": "87187"}, "crossed"),
        ({"b": "0"}, "not-positive"),
        ({"A": "1e400"}, "bad-number"),
        ({"t": 1764133203}, "bad-time"),
        ({"t": 1764133203991000000}, "bad-time"),
        ({"b": 87185}, "malformed"),
        ({"li": None}, "malformed"),
    ],
)
def test_a_quote_is_not_believed_for_its_looks(changes: dict[str, Any], reason: str) -> None:
    frame = {"channel": "bbo", "data": {**SOCKET["bbo"]["data"], **changes}}
    [event] = PacificaMarketSession(ENDPOINT, ["BTC"]).receive(body(frame))
    assert isinstance(event, Quarantined)
    assert event.reason == reason


def test_twenty_symbols_fit_on_a_socket() -> None:
    names = [f"S{number}" for number in range(21)]
    assert len(PacificaMarketSession(ENDPOINT, names[:20]).opening_frames()) == 20
    with pytest.raises(ValueError, match="20"):
        PacificaMarketSession(ENDPOINT, names)
    assert len(PacificaMarketSession(ENDPOINT, names, marks=True).opening_frames()) == 1


def test_account_channels() -> None:
    session = PacificaPrivateSession()
    [update] = session.receive(body(SOCKET["account_order_updates"]))
    assert isinstance(update, OrderUpdate)
    assert (update.order.venue_order_id, update.order.status) == ("1559665358", OrderStatus.FILLED)
    assert (update.order.filled, update.order.average_price) == (D("0.00012"), 89501)
    assert (update.order.side, update.fill) == (Side.BUY, None)
    [fill] = session.receive(body(SOCKET_COMMENTS["handle_my_trades"][0]))
    assert isinstance(fill, FillReport)
    assert (fill.trade_id, fill.side, fill.fee) == ("80063441", Side.SELL, D("0.012885"))
    assert (fill.client_order_id, fill.is_maker) == (None, False)
    [account] = session.receive(body(SOCKET["account_positions_snapshot"]))
    assert isinstance(account, AccountUpdate)
    assert [(item.venue_symbol, item.size) for item in account.positions] == [("BTC", D("0.00022"))]
    assert session.receive(body(SOCKET["pong"])) == ()
    [error] = session.receive(body(SOCKET["ws_error"]))
    assert isinstance(error, Quarantined)


def positions_frame(*rows: dict[str, Any], li: int) -> bytes:
    return body({"channel": "account_positions", "data": list(rows), "li": li})


def trade_frame(**changes: Any) -> bytes:
    row = {**SOCKET_COMMENTS["handle_my_trades"][0]["data"][0], **changes}
    return body({"channel": "account_trades", "data": [row]})


def test_a_close_is_told_by_its_trade_whichever_comes_first() -> None:
    row = SOCKET["account_positions_snapshot"]["data"][0]
    for order in ("trade first", "positions first"):
        session = PacificaPrivateSession()
        session.receive(positions_frame(row, {**row, "s": "ETH", "d": "ask"}, li=10))
        closing = trade_frame(a="0.00022", ts="close_long", li=11)
        if order == "trade first":
            fill, flat = session.receive(closing)
            assert isinstance(fill, FillReport)
            assert isinstance(flat, AccountUpdate)
            assert [(item.venue_symbol, item.size) for item in flat.positions] == [("BTC", 0)]
        else:
            # The list already has what the trade left: the same amount again is no close.
            session.receive(positions_frame(row, li=12))
            [fill] = session.receive(closing)
            assert isinstance(fill, FillReport)


def test_an_empty_list_that_names_nothing_asks_for_a_look() -> None:
    session = PacificaPrivateSession()
    assert session.receive(positions_frame(li=1)) == ()
    session.receive(body(SOCKET["account_positions_snapshot"]))
    [unclear] = session.receive(positions_frame(li=1559395581))
    assert isinstance(unclear, Quarantined)
    assert (unclear.reason, unclear.detail) == ("unnamed-close", "BTC")
    assert session.receive(positions_frame(li=1559395582)) == ()
