"""Aster's documented and recorded payloads become reports exactly, number by number."""

import json
from decimal import Decimal
from typing import Any

import pytest

from markets.venues.aster.facts import FEES
from markets.venues.aster.streams import AsterMarketSession, AsterPrivateSession
from markets.venues.checks import MAX_MS, BadAnswer, decode, moment
from markets.venues.errors import ClockRefused, OrderNotFound, VenueRejected
from markets.venues.fapi import parsing
from markets.venues.fapi.errors import failure
from markets.venues.fapi.wire import Done, LeverageRow, ListenKey, OrderRow
from markets.venues.shared import HttpAnswer
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
    Transfer,
)
from tests.payloads import payload

PUBLIC = payload("aster", "docs_rest_public")
PRIVATE = payload("aster", "docs_rest_private")
RECORDED = payload("aster", "ccxt_comment_rest")
ENDPOINT = Endpoint("https://fapi.asterdex.com", "wss://fstream.asterdex.com")
D = Decimal


def sample(source: Any, section: str, number: int = 0) -> bytes:
    found = source[section]
    return json.dumps((found["examples"] if isinstance(found, dict) else found)[number]).encode()


def test_exchange_info() -> None:
    [doge] = parsing.instruments(sample(PUBLIC, "Exchange Information"), fees=FEES)
    assert (doge.venue_symbol, doge.base, doge.quote) == ("DOGEUSDT", "BLZ", "USDT")
    assert (doge.tick, doge.lot, doge.min_qty) == (D("0.0001"), 1, 1)
    assert (doge.max_qty, doge.max_market_qty, doge.min_notional) == (10_000_000, 590_119, 1)
    assert (doge.maker_fee, doge.taker_fee) == (D("0.0001"), D("0.00035"))


def test_clock_quotes_and_funding() -> None:
    assert parsing.server_ms(sample(PUBLIC, "Check Server Time")) == 1499827319559
    for number, read in ((0, parsing.book_top), (1, parsing.book_tops)):
        body = sample(PUBLIC, "Symbol Order Book Ticker", number)
        top = (
            parsing.book_top(body, symbol="BTCUSDT")
            if read is parsing.book_top
            else parsing.book_tops(body, wanted=["BTCUSDT"])[0]
        )
        assert (top.bid, top.bid_size) == (D("4.00000000"), D("431.00000000"))
        assert (top.ask, top.ask_size) == (D("4.00000200"), D("9.00000000"))
    [quote] = parsing.funding_quotes(
        sample(PUBLIC, "Mark Price", 1), sample(PUBLIC, "Get Funding Rate Config")
    )
    assert (quote.rate, quote.mark_price) == (D("0.00038246"), D("11793.63104562"))
    assert (quote.interval_hours, quote.next_funding_at) == (8, moment(1597392000000, ""))


def test_intervals_are_each_symbols_own() -> None:
    premium = json.loads(sample(PUBLIC, "Mark Price", 1))
    premium[0]["symbol"] = "ZORAUSDT"
    [quote] = parsing.funding_quotes(
        json.dumps(premium).encode(), sample(PUBLIC, "Get Funding Rate Config")
    )
    assert quote.interval_hours == 4


def test_a_one_sided_book_is_no_quote() -> None:
    with pytest.raises(BadAnswer, match="not-positive"):
        parsing.book_top(sample(RECORDED, "fetch_bids_asks"), symbol="BMTUSDT")


@pytest.mark.parametrize(
    ("source", "section", "expected"),
    [
        (PRIVATE, "New Order  (TRADE)", ("22542179", "testOrder", OrderStatus.OPEN, "10")),
        (PRIVATE, "Query Order (USER_DATA)", ("1917641", "abc", OrderStatus.OPEN, "0.40")),
        (PRIVATE, "Cancel Order (TRADE)", ("283194212", "myOrder1", OrderStatus.CANCELLED, "11")),
        (
            RECORDED,
            "create_order",
            ("17338441758", "727Wt3TIUgkUCxXp20E543", OrderStatus.OPEN, "0.010"),
        ),
    ],
)
def test_orders(source: Any, section: str, expected: tuple[str, str, OrderStatus, str]) -> None:
    body = sample(source, section)
    symbol = json.loads(body)["symbol"]
    report = parsing.order(body, venue_symbol=symbol, client_order_id=expected[1])
    assert (report.venue_order_id, report.status) == (expected[0], expected[2])
    assert (report.amount, report.filled, report.price) == (D(expected[3]), 0, None)


def test_a_filled_order_keeps_its_average() -> None:
    report = parsing.past_or_open(decode(sample(RECORDED, "fetch_orders"), OrderRow))
    assert (report.status, report.filled) == (OrderStatus.FILLED, D("0.0054"))
    assert (report.average_price, report.side) == (D("2351.580000"), Side.SELL)


def test_positions_flat_ones_left_out_and_hedge_mode_refused() -> None:
    at = moment(1625474304765, "")
    assert parsing.positions(sample(PRIVATE, "Position Information v3 (USER_DATA)"), at=at) == []
    with pytest.raises(BadAnswer, match="hedge-mode"):
        parsing.positions(sample(RECORDED, "fetch_positions_risk"), at=at)
    rows = json.loads(sample(RECORDED, "fetch_positions_risk"))
    rows[0]["positionSide"] = "BOTH"
    [position] = parsing.positions(json.dumps(rows).encode(), at=at)
    assert (position.size, position.entry_price) == (D("20.000"), D("6563.66500"))
    assert (position.mark_price, position.liquidation_price) == (D("6679.50671178"), D("5930.78"))
    assert (position.unrealized_pnl, position.initial_margin) == (D("2316.83423560"), None)


def test_trades_and_income() -> None:
    [fill] = parsing.fills(
        sample(PRIVATE, "Account Trade List (USER_DATA)"), venue_symbol="BTCUSDT"
    )
    assert (fill.trade_id, fill.venue_order_id, fill.side) == ("698759", "25851813", Side.SELL)
    assert (fill.amount, fill.price, fill.fee) == (D("0.002"), D("7819.01"), D("-0.07819010"))
    [live] = parsing.fills(
        b"[" + sample(RECORDED, "fetch_my_trades") + b"]", venue_symbol="ETHUSDT"
    )
    assert (live.trade_id, live.fee, live.fee_asset) == ("2583152", D("0.00279605"), "USDT")
    assert parsing.funding_payments(sample(PRIVATE, "Get Income History(USER_DATA)")) == []
    told = parsing.ledger(sample(PRIVATE, "Get Income History(USER_DATA)"), now_ms=MAX_MS)
    [moved] = [line.said for line in told if line.said is not None]
    assert isinstance(moved, Transfer)
    assert (moved.kind, moved.transfer_id, moved.amount, moved.asset) == (
        "TRANSFER", "9689322392", D("-0.375"), "USDT",
    )  # fmt: skip
    [payment] = parsing.funding_payments(b"[" + sample(RECORDED, "parse_income") + b"]")
    assert (payment.payment_id, payment.amount) == ("4480321991774044580", D("0.00134317"))


def test_confirmations() -> None:
    assert decode(sample(PRIVATE, "Cancel All Open Orders (TRADE)"), Done).code == "200"
    row = decode(sample(PRIVATE, "Change Initial Leverage (TRADE)"), LeverageRow)
    assert (row.symbol, row.leverage) == ("BTCUSDT", 21)
    user = payload("aster", "docs_ws_user")
    key = decode(sample(user, "Start User Data Stream (USER_STREAM)"), ListenKey).listenKey
    assert key.startswith("pqia91ma19a5s61")


def test_market_streams() -> None:
    frames = payload("aster", "docs_ws_public")
    quotes = AsterMarketSession(ENDPOINT, ["BNBUSDT"])
    [top] = quotes.receive(sample(frames, "Individual Symbol Book Ticker Streams"))
    assert isinstance(top, BookTop)
    assert (top.bid, top.bid_size) == (D("25.35190000"), D("31.21000000"))
    assert (top.ask, top.ask_size, top.sequence) == (D("25.36520000"), D("40.66000000"), 400900217)
    marks = AsterMarketSession(ENDPOINT, ["BTCUSDT"], marks=True)
    [mark] = marks.receive(sample(frames, "Mark Price Stream"))
    assert isinstance(mark, MarkPrice)
    assert (mark.mark, mark.index) == (D("11794.15000000"), D("11784.62659091"))
    assert (mark.funding_rate, mark.next_funding_ms) == (D("0.00038167"), 1562306400000)
    assert marks.url() == "wss://fstream.asterdex.com/stream"
    [wish] = map(json.loads, marks.opening_frames())
    assert (wish["method"], wish["params"]) == ("SUBSCRIBE", ["btcusdt@markPrice@1s"])
    for answer in frames["Live Subscribing/Unsubscribing to streams"]["examples"]:
        assert quotes.receive(json.dumps(answer)) == ()


def test_user_stream() -> None:
    frames, session = payload("aster", "docs_ws_user"), AsterPrivateSession()
    [update] = session.receive(sample(frames, "Event: Order Update"))
    assert isinstance(update, OrderUpdate)
    assert (update.order.venue_order_id, update.order.client_order_id) == ("8886774", "TEST")
    assert (update.order.amount, update.fill) == (D("0.001"), None)
    [ended] = session.receive(sample(frames, "Event: User Data Stream Expired"))
    assert isinstance(ended, StreamEnded)
    [hedged] = session.receive(sample(frames, "Event: Balance and Position Update"))
    assert isinstance(hedged, Quarantined)
    assert hedged.reason == "hedge-mode"
    for section in (
        "Event: Margin Call",
        "Event: Account Configuration Update previous Leverage Update",
    ):
        assert session.receive(sample(frames, section)) == ()
    assert session.receive('{"e":"announcement","E":1}') == ()
    recorded = payload("aster", "ccxt_comment_ws")
    [account] = session.receive(sample(recorded, "handle_positions"))
    assert isinstance(account, AccountUpdate)
    assert (account.wallet_balance, account.reason) == (D("39.41184271"), "ORDER")
    assert [(item.venue_symbol, item.size) for item in account.positions] == [("ETHUSDT", 0)]


def test_errors_are_told_apart_by_number() -> None:
    kinds = {
        entry["body"]["code"]: type(
            failure(HttpAnswer(entry["http"], {}, json.dumps(entry["body"]).encode()), now_ms=0)
        )
        for entry in payload("aster", "errors")
    }
    assert kinds == {
        -1021: ClockRefused,
        -1121: VenueRejected,
        -2011: OrderNotFound,
        -2019: VenueRejected,
        -2021: VenueRejected,
        -2022: VenueRejected,
        -5060: VenueRejected,
        -5076: VenueRejected,
    }
