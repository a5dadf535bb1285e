"""Every recorded payload is read exactly, or is of no concern for a reason that stands here.

A file, a section or a sample that is in neither list fails the test: nothing recorded is left
out unseen.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from markets.venues.binance.facts import FEES
from markets.venues.pacifica import facts as pacifica
from tests.markets.venues import payload_readers as read
from tests.payloads import HOME, payload

NOT_ASKED: Final = "we do not ask for it"
OTHER_MARKET: Final = "spot, margin, COIN-M, options, batches or an older shape: not what we ask"
OUR_REQUEST: Final = "what a client sends; ours are checked where they are made"
NEVER_SENT: Final = "we send no such order"
EMPTY: Final = "nothing in it"

Concern = read.Reader | str | Mapping[int, read.Reader]
"""A reader of all samples, the reason why none concerns us, or readers by sample number; what is
not numbered then is OTHER_MARKET."""

CONCERNS: Final[Mapping[tuple[str, str], Mapping[str, Concern]]] = {
    ("aster", "ccxt_comment_rest"): {
        "fetch_currencies": NOT_ASKED,
        "parse_trade": {2: read.fills},
        "fetch_trades": NOT_ASKED,
        "fetch_my_trades": read.fills,
        "fetch_order_book": NOT_ASKED,
        "parse_ticker": {1: read.one_sided},
        "fetch_ticker": NOT_ASKED,
        "fetch_tickers": NOT_ASKED,
        "fetch_bids_asks": read.one_sided,
        "parse_funding_rate": {0: read.premium, 1: read.intervals},
        "fetch_funding_rate": read.premium,
        "fetch_funding_rates": read.premium,
        "fetch_funding_intervals": read.intervals,
        "fetch_funding_rate_history": NOT_ASKED,
        "parse_funding_rate_history": NOT_ASKED,
        "fetch_balance": "the account's sums are read off accountWithJoinMargin",
        "set_margin_mode": read.done,
        "set_position_mode": read.done,
        "fetch_trading_fee": NOT_ASKED,
        "parse_order": read.orders,
        "fetch_orders": read.orders,
        "create_order": read.orders,
        "create_orders": {0: read.orders},
        "cancel_all_orders": read.done,
        "cancel_orders": {1: read.done},
        "set_leverage": read.leverage_set,
        "fetch_leverages": read.terms,
        "parse_leverage": read.terms,
        "fetch_margin_modes": read.terms,
        "parse_margin_mode": read.terms,
        "fetch_margin_adjustment_history": NOT_ASKED,
        "parse_margin_modification": NOT_ASKED,
        "modify_margin_helper": NOT_ASKED,
        "parse_income": read.income,
        "parse_position_risk": read.hedged,
        "fetch_positions_risk": read.hedged,
        "load_leverage_brackets": NOT_ASKED,
        "initialize_client": "a builder, whom we neither name nor approve",
        "handle_errors": read.refused,
    },
    ("aster", "ccxt_comment_ws"): {
        "handle_ticker": {0: read.passed_over, 1: read.market_frame},
        "handle_bid_ask": read.market_frame,
        "handle_trade": read.passed_over,
        "parse_ws_trade": {0: read.passed_over, 1: read.order_body},
        "handle_order_book": read.passed_over,
        "handle_ohlcv": read.passed_over,
        "handle_balance": {0: read.passed_over, 1: read.private_frame},
        "handle_positions": read.private_frame,
        "parse_ws_position": read.position_body,
        "handle_order": read.order_body,
    },
    ("aster", "docs_rest_private"): {
        "Change Position Mode(TRADE)": read.done,
        "Get Current Position Mode(USER_DATA)": read.position_mode,
        "Change STP Mode (TRADE)": NOT_ASKED,
        "Get Current STP Mode (USER_DATA)": NOT_ASKED,
        "Change Multi-Assets Mode (TRADE)": NOT_ASKED,
        "Get Current Multi-Assets Mode (USER_DATA)": NOT_ASKED,
        "New Order  (TRADE)": read.orders,
        "Place Multiple Orders  (TRADE)": OTHER_MARKET,
        "Transfer Between Futures And Spot (TRANSFER)": NOT_ASKED,
        "Query Order (USER_DATA)": read.orders,
        "Cancel Order (TRADE)": read.orders,
        "Cancel All Open Orders (TRADE)": read.done,
        "Cancel Multiple Orders (TRADE)": OTHER_MARKET,
        "Auto-Cancel All Open Orders (TRADE)": read.timer_set,
        "Query Current Open Order (USER_DATA)": read.orders,
        "Current All Open Orders (USER_DATA)": read.orders,
        "All Orders (USER_DATA)": read.orders,
        "Change Initial Leverage (TRADE)": read.leverage_set,
        "Change Margin Type (TRADE)": read.done,
        "Modify Isolated Position Margin (TRADE)": NOT_ASKED,
        "Get Position Margin Change History (TRADE)": NOT_ASKED,
        "Position Information v3 (USER_DATA)": read.terms,
        "Account Trade List (USER_DATA)": read.fills,
        "Get Income History(USER_DATA)": read.income,
        "Notional and Leverage Brackets (USER_DATA)": NOT_ASKED,
        "Position ADL Quantile Estimation (USER_DATA)": NOT_ASKED,
        "User Commission Rate (USER_DATA)": NOT_ASKED,
    },
    ("aster", "docs_rest_public"): {
        "Test Connectivity": NOT_ASKED,
        "Check Server Time": read.clock,
        "Exchange Information": read.instruments,
        "Order Book": NOT_ASKED,
        "Recent Trades List": NOT_ASKED,
        "Old Trades Lookup (MARKET_DATA)": NOT_ASKED,
        "Compressed/Aggregate Trades List": NOT_ASKED,
        "Kline/Candlestick Data": NOT_ASKED,
        "Mark Price": read.premium,
        "Get Funding Rate History": NOT_ASKED,
        "Get Funding Rate Config": read.intervals,
        "24hr Ticker Price Change Statistics": NOT_ASKED,
        "Symbol Price Ticker": NOT_ASKED,
        "Symbol Order Book Ticker": read.tops,
        "Index Price References": NOT_ASKED,
    },
    ("aster", "docs_ws_public"): {
        "Live Subscribing/Unsubscribing to streams": read.passed_over,
        "Aggregate Trade Streams": read.passed_over,
        "Mark Price Stream": read.market_frame,
        "Kline/Candlestick Streams": read.passed_over,
        "Individual Symbol Mini Ticker Stream": read.passed_over,
        "All Market Mini Tickers Stream": NOT_ASKED,
        "Individual Symbol Ticker Streams": read.passed_over,
        "All Market Tickers Streams": NOT_ASKED,
        "Individual Symbol Book Ticker Streams": read.market_frame,
        "All Book Tickers Stream": EMPTY,
        "Liquidation Order Streams": read.passed_over,
        "All Market Liquidation Order Streams": read.passed_over,
        "Partial Book Depth Streams": read.passed_over,
        "Diff. Book Depth Streams": read.passed_over,
    },
    ("aster", "docs_ws_user"): {
        "Start User Data Stream (USER_STREAM)": read.listen_key,
        "Keepalive User Data Stream (USER_STREAM)": EMPTY,
        "Close User Data Stream (USER_STREAM)": EMPTY,
        "Event: User Data Stream Expired": read.private_frame,
        "Event: Margin Call": read.passed_over,
        "Event: Balance and Position Update": read.hedge_frame,
        "Event: Order Update": read.private_frame,
        "Event: Account Configuration Update previous Leverage Update": read.passed_over,
    },
    ("aster", "errors"): {"": read.refused},
    ("binance", "ccxt_comment_rest"): {
        "fetch_markets": OTHER_MARKET,
        "fetch_balance": {2: read.account},
        "fetch_order_book": NOT_ASKED,
        "parse_ticker": {0: read.premium, 6: read.tops},
        "parse_last_price": NOT_ASKED,
        "parse_trade": {4: read.fills, 8: read.fills},
        "edit_contract_order": read.orders,
        "parse_order": dict.fromkeys((0, 2, 5, 8, 9, 13, 16, 17, 18, 19), read.orders),
        "cancel_all_orders": dict.fromkeys(range(7), read.done),
        "cancel_orders": OTHER_MARKET,
        "fetch_my_trades": {2: read.fills},
        "parse_income": read.income,
        "parse_trading_fee": NOT_ASKED,
        "fetch_trading_fee": NOT_ASKED,
        "fetch_funding_rate": read.premium,
        "parse_funding_rate": {0: read.premium, 1: read.intervals},
        "parse_account_position": OTHER_MARKET,
        "parse_position_risk": {0: read.positions, 2: read.hedged},
        "fetch_positions_risk": {0: read.terms, 2: read.hedged},
        "set_margin_mode": {0: read.refused, 1: read.done},
        "handle_errors": {
            0: read.refused,
            1: read.refused,
            2: read.refused,
            3: read.unreadable_list,
        },
        "fetch_open_interest": NOT_ASKED,
        "fetch_funding_intervals": read.intervals,
    },
    ("binance", "ccxt_comment_ws"): {
        "handle_order_book": read.passed_over,
        "parse_ws_trade": {0: read.passed_over, 1: read.passed_over, 2: read.order_body},
        "parse_ws_ticker": {0: read.market_frame, 1: read.passed_over, 2: read.passed_over},
        "handle_bids_asks": OTHER_MARKET,
        "handle_balance": {
            0: read.passed_over,
            1: read.passed_over,
            2: read.private_frame,
            3: read.passed_over,
        },
        "handle_order_ws": read.passed_over,
        "parse_ws_order": {0: read.order_body, 2: read.passed_over},
        "handle_order_update": {0: read.private_frame, 1: read.passed_over},
        "parse_ws_position": read.position_body,
        "handle_ws_error": read.refused_request,
    },
    ("binance", "docs_ws"): {
        "subscribe": OUR_REQUEST,
        "subscribe_ack": read.passed_over,
        "bookTicker": read.market_frame,
        "markPriceUpdate": read.market_frame,
        "aggTrade": read.passed_over,
        "combined_wrapper": EMPTY,
        "TRADE_LITE": read.passed_over,
        "listenKeyExpired": read.private_frame,
    },
    ("binance", "errors"): {"": read.refused},
    ("pacifica", "ccxt_comment_rest"): {
        "fetch_markets": read.p_markets,
        "parse_market": read.p_markets,
        "fetch_balance": read.p_balance,
        "parse_leverage_from_setting": "ccxt's own form of fetch_account_settings",
        "fetch_account_settings": read.p_terms,
        "fetch_margin_mode": "ccxt's own form of fetch_account_settings",
        "parse_margin_mode_from_setting": read.p_terms,
        "fetch_order_book": read.p_book,
        "fetch_funding_rates": read.p_prices,
        "parse_funding_rate": read.p_prices,
        "fetch_trades": NOT_ASKED,
        "fetch_my_trades": read.p_fills,
        "parse_trade": {0: read.p_fills},
        "batch_orders_request": OUR_REQUEST,
        "create_orders": NEVER_SENT,
        "cancel_orders": NEVER_SENT,
        "cancel_order": read.p_confirmed,
        "fetch_funding_rate_history": NOT_ASKED,
        "fetch_tickers": read.p_prices,
        "parse_ticker": read.p_prices,
        "fetch_open_orders": read.p_open_orders,
        "fetch_orders": read.p_past_orders,
        "fetch_order": "by the venue's id, which an unknown outcome lacks: we read the lists",
        "parse_order": {0: read.p_open_orders, 1: read.p_past_orders},
        "fetch_positions": read.p_positions,
        "parse_position": read.p_positions,
        "fetch_trading_fee": read.p_balance,
        "parse_trading_fee": read.p_balance,
        "parse_open_interest": read.p_prices,
        "parse_transaction": read.p_ledger,
        "fetch_funding_history": read.p_payments,
        "parse_income": read.p_payments,
        "handle_errors": read.p_refused,
    },
    ("pacifica", "ccxt_comment_ws"): {
        "create_order_ws": read.p_error_frame,
        "edit_order_ws": read.p_error_frame,
        "cancel_orders_ws": read.p_error_frame,
        "cancel_order_ws": read.p_error_frame,
        "cancel_all_orders_ws": read.p_error_frame,
        "handle_order_book": read.p_passed_over,
        "handle_ws_tickers": read.p_market_frame,
        "handle_my_trades": read.p_private_frame,
        "handle_trades": read.p_passed_over,
        "parse_ws_trade": {0: read.p_trade_body},
        "handle_ohlcv": read.p_passed_over,
        "handle_order": read.p_private_frame,
        "handle_error_message": read.p_error_frame,
        "handle_subscription_response": read.p_passed_over,
        "handle_message": "another venue's shape, left over in the class's comment",
        "handle_ws_post": read.p_error_frame,
    },
    ("pacifica", "ccxt_static_response"): {
        "cancelOrders_batch_all_failed": NEVER_SENT,
        "cancelAllOrders_symbol": read.p_cancelled,
        "fetchPositions": read.p_positions,
        "editOrder": read.p_accepted,
        "fetchOpenOrders": read.p_open_orders,
        "createOrder_stop": read.p_accepted,
        "createOrder_position_tpsl": NEVER_SENT,
        "createOrder_market": read.p_accepted,
        "createOrders_batch": NEVER_SENT,
        "fetchBalance": read.p_balance,
        "fetchMarkets": read.p_markets,
        "fetchOrderBook": read.p_book,
        "markets_info_testnet": read.p_markets,
    },
    ("pacifica", "docs_ws"): {
        "subscribe_bbo": OUR_REQUEST,
        "subscribe_ack": read.p_passed_over,
        "ping": OUR_REQUEST,
        "pong": read.p_passed_over,
        "bbo": read.p_market_frame,
        "account_positions_snapshot": read.p_private_frame,
        "account_order_updates": read.p_private_frame,
        "ws_create_order": OUR_REQUEST,
        "ws_error": read.p_error_frame,
    },
    ("pacifica", "errors"): {"": read.p_refused},
}
ELSEWHERE: Final = {
    ("pacifica", "ccxt_static_request"): "requests: test_pacifica_signing checks how ours look",
    ("pacifica", "signing_vector"): "a signature: test_pacifica_signing verifies it",
}
OURS: Final = {FEES.maker, FEES.taker, pacifica.MAKER_FEE, pacifica.TAKER_FEE}
"""Numbers in reports that the venue's rules give, not its answers; and 1, the contract size."""


def sections(venue: str, file: str) -> dict[str, list[Any]]:
    """Return a file's samples by section."""
    told = payload(venue, file)
    if isinstance(told, list):
        return {"": told}
    return {
        name: samples(found, is_one=file == "ccxt_static_response") for name, found in told.items()
    }


def samples(found: Any, *, is_one: bool) -> list[Any]:
    if isinstance(found, dict) and "examples" in found:
        found = found["examples"]
    return found if isinstance(found, list) and not is_one else [found]


def read_samples() -> Iterator[Any]:
    for (venue, file), concerns in CONCERNS.items():
        for section, concern in concerns.items():
            if not isinstance(concern, str):
                yield pytest.param(venue, file, section, concern, id=f"{venue}-{file}-{section}")


@pytest.mark.parametrize(("venue", "file", "section", "concern"), read_samples())
def test_recorded_samples_are_read_and_every_number_is_the_venues_own(
    venue: str, file: str, section: str, concern: read.Reader | Mapping[int, read.Reader]
) -> None:
    recorded = sections(venue, file)[section]
    readers = (
        concern if isinstance(concern, Mapping) else dict.fromkeys(range(len(recorded)), concern)
    )
    for number, reader in readers.items():
        sample = recorded[number]
        made_up = read.decimals(list(reader(sample))) - read.told_numbers(sample) - OURS - {1}
        assert not made_up


def test_every_recorded_file_and_section_is_listed() -> None:
    if not HOME.exists():
        pytest.skip("the venues' payloads are not here")
    files = {(path.parent.name, path.stem) for path in HOME.glob("*/*.json")}
    assert files == set(CONCERNS) | set(ELSEWHERE)
    for venue, file in CONCERNS:
        assert set(CONCERNS[venue, file]) == set(sections(venue, file)), (venue, file)


def test_what_is_of_no_concern_says_why() -> None:
    reasons = [
        concern
        for concerns in CONCERNS.values()
        for concern in concerns.values()
        if isinstance(concern, str)
    ]
    assert all(reasons)
    assert len(reasons) < sum(map(len, CONCERNS.values())) // 3
