"""An unmodified ccxt trades on the paper Binance: only its addresses are changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt
import pytest

from markets.venues.paper.server import PaperVenue
from tests.markets.venues import ccxt_clients
from tests.markets.venues.ccxt_clients import listened, opened
from tests.markets.venues.conftest import KEY, SECRET

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
async def exchange(venue: PaperVenue) -> AsyncIterator[Any]:
    async with opened(ccxt_clients.binance(venue, key=KEY, secret=SECRET)) as made:
        yield made


async def test_markets_balance_and_positions_load(exchange: Any) -> None:
    market = exchange.market(SYMBOL)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert market["limits"]["cost"]["min"] == 5
    assert (await exchange.fetch_balance())["USDT"]["total"] == 100_000
    [position] = await exchange.fetch_positions()
    assert (position["symbol"], position["side"], position["contracts"]) == (SYMBOL, "long", 0.5)


async def test_public_data_is_served(exchange: Any) -> None:
    book = await exchange.fetch_order_book(SYMBOL, 5)
    top = (await exchange.fetch_bids_asks([SYMBOL]))[SYMBOL]
    rate = await exchange.fetch_funding_rate(SYMBOL)
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert (top["bid"], top["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    assert rate["fundingRate"] == 0.0001
    assert (await exchange.fetch_ticker(SYMBOL))["last"] == top["bid"]
    assert await exchange.fetch_time() > 0


async def test_market_order_fills_and_its_trade_is_listed(exchange: Any) -> None:
    order = await exchange.create_order(
        SYMBOL, "market", "sell", 0.2, None, {"newClientOrderId": "m1"}
    )
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 0.2, "m1")
    [trade] = await exchange.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["amount"], trade["takerOrMaker"]) == (order["id"], 0.2, "taker")
    assert trade["fee"]["cost"] == pytest.approx(0.2 * trade["price"] * 0.0005)
    [position] = await exchange.fetch_positions()
    assert position["contracts"] == 0.3


async def test_post_only_rests_is_found_by_client_id_and_cancelled(exchange: Any) -> None:
    order = await exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, 61000, {"timeInForce": "GTX", "newClientOrderId": "g1"}
    )
    assert order["status"] == "open"
    found = await exchange.fetch_order(None, SYMBOL, {"origClientOrderId": "g1"})
    assert found["id"] == order["id"]
    assert [item["id"] for item in await exchange.fetch_open_orders(SYMBOL)] == [order["id"]]
    assert (await exchange.cancel_order(order["id"], SYMBOL))["status"] == "canceled"
    assert await exchange.fetch_open_orders(SYMBOL) == []
    with pytest.raises(ccxt.BaseError, match="-2011"):
        await exchange.cancel_order(order["id"], SYMBOL)


async def test_crossing_post_only_is_refused(exchange: Any) -> None:
    with pytest.raises(ccxt.BaseError, match="-5022"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 62500, {"timeInForce": "GTX"})


async def test_ioc_takes_what_is_there_and_the_rest_expires(
    exchange: Any, venue: PaperVenue
) -> None:
    quote = venue.engine.markets["BTCUSDT"].quote
    order = await exchange.create_order(
        SYMBOL,
        "limit",
        "sell",
        float(quote.bid_size) + 1,
        float(quote.bid),
        {"timeInForce": "IOC"},
    )
    assert order["filled"] == float(quote.bid_size)
    assert order["status"] == "expired"


async def test_reduce_only_never_passes_flat(exchange: Any) -> None:
    order = await exchange.create_order(SYMBOL, "market", "sell", 2, None, {"reduceOnly": True})
    assert order["filled"] == 0.5
    assert await exchange.fetch_positions() == []
    with pytest.raises(ccxt.BaseError, match="-2022"):
        await exchange.create_order(SYMBOL, "market", "sell", 0.1, None, {"reduceOnly": True})


async def test_cancel_all_leverage_and_income(exchange: Any, venue: PaperVenue) -> None:
    for number in range(3):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 61000 - number)
    await exchange.cancel_all_orders(SYMBOL)
    assert await exchange.fetch_open_orders(SYMBOL) == []
    assert (await exchange.set_leverage(10, SYMBOL))["leverage"] == 10
    now_ns = venue.core.now_ns()
    venue.engine.settle_funding("BTCUSDT", now_ns=now_ns, next_ns=now_ns + 10**12)
    [payment] = await exchange.fetch_funding_history(SYMBOL)
    assert payment["amount"] == pytest.approx(-0.5 * 61800 * 0.0001, rel=0.01)


async def test_pro_watches_quotes_marks_and_orders(exchange: Any, venue: PaperVenue) -> None:
    venue.core.running.set()
    tops = await asyncio.wait_for(exchange.watch_bids_asks([SYMBOL]), 5)
    assert tops[SYMBOL]["bid"] < tops[SYMBOL]["ask"]
    mark = await asyncio.wait_for(exchange.watch_mark_price(SYMBOL), 5)
    assert mark["markPrice"] > 0

    watching = asyncio.ensure_future(exchange.watch_orders(SYMBOL))
    await listened(venue, "user:alpha")
    await exchange.create_order(SYMBOL, "market", "buy", 0.01, None, {"newClientOrderId": "w1"})
    seen = await asyncio.wait_for(watching, 5)
    assert seen[-1]["clientOrderId"] == "w1"


async def test_pro_watches_tickers_trades_positions_and_the_balance(
    exchange: Any, venue: PaperVenue
) -> None:
    bid = float(venue.engine.markets["BTCUSDT"].quote.bid)
    assert (await asyncio.wait_for(exchange.watch_ticker(SYMBOL), 10))["last"] == bid
    watching = [
        asyncio.ensure_future(exchange.watch_trades(SYMBOL)),
        asyncio.ensure_future(exchange.watch_orders(SYMBOL)),
        asyncio.ensure_future(exchange.watch_balance()),
        asyncio.ensure_future(exchange.watch_positions([SYMBOL])),
    ]
    await listened(venue, "btcusdt@trade", "user:alpha")
    await exchange.create_order(SYMBOL, "market", "sell", 0.2, None, {"newClientOrderId": "w2"})
    trades, orders, balance, positions = await asyncio.wait_for(asyncio.gather(*watching), 10)
    assert (trades[-1]["amount"], trades[-1]["side"]) == (0.2, "sell")
    assert orders[-1]["clientOrderId"] == "w2"
    assert balance["USDT"]["total"] == pytest.approx(100_000, abs=20)
    assert (positions[-1]["symbol"], positions[-1]["contracts"]) == (SYMBOL, 0.3)
