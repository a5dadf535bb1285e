"""An unmodified ccxt trades on the paper Pacifica, its builder's code and all."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from markets.venues.paper.server import PaperVenue
from tests.contracts.kits import KITS, Kit, mark
from tests.markets.venues import ccxt_clients
from tests.markets.venues.ccxt_clients import listened, opened

SYMBOL = "BTC/USDC:USDC"


@pytest.fixture
def kit() -> Kit:
    return KITS["pacifica"]()


@pytest.fixture
async def venue(kit: Kit) -> AsyncIterator[PaperVenue]:
    async with PaperVenue.start(kit.config(control=True)) as running:
        yield running


@pytest.fixture
async def exchange(venue: PaperVenue, kit: Kit) -> AsyncIterator[Any]:
    account, agent = kit.known_as
    key = kit.credentials.agent_key.reveal()
    made = ccxt_clients.pacifica(venue, account=account, key=key, agent=agent)
    async with opened(made):
        yield made


async def test_its_builder_is_approved_first_and_paid_by_market_orders(
    exchange: Any, venue: PaperVenue, kit: Kit
) -> None:
    await exchange.create_order(SYMBOL, "market", "sell", 0.2)
    assert exchange.options["builderFee"] is True
    assert exchange.options["approvedBuilderFee"] is True
    answer = await exchange.fetch_builder_approvals(kit.known_as[0])
    assert answer["data"] == [{"builder_code": "CCXT", "max_fee_rate": "0.01"}]
    entry = venue.core.ledger.since(kind="order")[-1]
    assert (entry["builder"], entry["builderFeeRate"]) == ("CCXT", "0.01")


async def test_a_code_not_approved_or_revoked_gets_no_order(
    exchange: Any, venue: PaperVenue
) -> None:
    await exchange.create_order(SYMBOL, "market", "sell", 0.1)
    placed = len(venue.core.ledger.since(kind="order"))
    exchange.options["builderCode"] = "ELSE"
    with pytest.raises(ccxt.BadRequest, match="Invalid builder code"):
        await exchange.create_order(SYMBOL, "market", "sell", 0.1)
    exchange.options["builderCode"] = "CCXT"
    await exchange.revoke_builder_code("CCXT")
    with pytest.raises(ccxt.BadRequest, match="Invalid builder code"):
        await exchange.create_order(SYMBOL, "market", "sell", 0.1)
    with pytest.raises(ccxt.BadRequest, match="Invalid builder code"):
        await exchange.revoke_builder_code("CCXT")
    assert len(venue.core.ledger.since(kind="order")) == placed


async def test_an_approval_whose_fee_was_changed_under_way_is_refused(
    exchange: Any, venue: PaperVenue
) -> None:
    signed = {"builder_code": "ELSE", "max_fee_rate": "0.01"}
    body = exchange.post_action_request("approve_builder_code", signed, {})
    with pytest.raises(ccxt.AuthenticationError, match="Verification failed"):
        await exchange.privatePostAccountBuilderCodesApprove({**body, "max_fee_rate": "0.5"})
    assert "ELSE" not in venue.engine.accounts["alpha"].builders


async def test_it_reads_the_market_and_the_account(
    exchange: Any, venue: PaperVenue, kit: Kit
) -> None:
    book = await exchange.fetch_order_book(SYMBOL)
    assert book["asks"][0][0] > book["bids"][0][0]
    ticker = await exchange.fetch_ticker(SYMBOL)
    assert (ticker["bid"], Decimal(ticker["info"]["mark"])) == (None, mark(venue, kit))
    assert (await exchange.fetch_funding_rates([SYMBOL]))[SYMBOL]["fundingRate"] == 0.0001
    assert (await exchange.fetch_balance())["USDC"]["total"] == 100_000
    [position] = await exchange.fetch_positions()
    assert (position["symbol"], position["side"], position["contracts"]) == (SYMBOL, "long", 0.5)


async def test_post_only_rests_is_found_and_cancelled(exchange: Any) -> None:
    placed = await exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, 60500, {"timeInForce": "ALO"}
    )
    assert [item["id"] for item in await exchange.fetch_open_orders(SYMBOL)] == [placed["id"]]
    assert (await exchange.fetch_order(placed["id"], SYMBOL))["status"] == "open"
    await exchange.cancel_order(placed["id"], SYMBOL)
    assert await exchange.fetch_open_orders(SYMBOL) == []
    crossing = await exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, 62500, {"timeInForce": "ALO"}
    )
    # An acceptance only: that it would have taken shows in the order itself.
    assert (await exchange.fetch_order(crossing["id"], SYMBOL))["status"] == "failed"


async def test_market_orders_fill_and_leverage_is_set(exchange: Any, venue: PaperVenue) -> None:
    filled = await exchange.create_order(SYMBOL, "market", "sell", 0.2)
    assert (await exchange.fetch_order(filled["id"], SYMBOL))["status"] == "closed"
    [position] = await exchange.fetch_positions()
    assert (position["side"], position["contracts"]) == ("long", 0.3)
    [trade] = await exchange.fetch_my_trades(SYMBOL)
    assert (trade["side"], trade["amount"]) == ("sell", 0.2)
    await exchange.set_leverage(25, SYMBOL)
    assert venue.engine.accounts["alpha"].leverage == {"BTC": 25}
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order(SYMBOL, "market", "buy", 100)


async def test_pro_watches_the_market_and_the_account(
    exchange: Any, venue: PaperVenue, kit: Kit
) -> None:
    account = kit.known_as[0]
    book = await asyncio.wait_for(exchange.watch_order_book(SYMBOL), 10)
    quote = venue.engine.markets["BTC"].quote
    assert (book["bids"][0][0], book["asks"][0][0]) == (float(quote.bid), float(quote.ask))
    ticker = await asyncio.wait_for(exchange.watch_ticker(SYMBOL), 10)
    assert Decimal(ticker["info"]["mark"]) == mark(venue, kit)
    watching = [
        asyncio.ensure_future(exchange.watch_trades(SYMBOL)),
        asyncio.ensure_future(exchange.watch_my_trades(SYMBOL)),
        asyncio.ensure_future(exchange.watch_orders(SYMBOL)),
    ]
    channels = f"account_trades:{account}", f"account_order_updates:{account}"
    await listened(venue, "trades:BTC", *channels)
    placed = await exchange.create_order(SYMBOL, "market", "sell", 0.2)
    trades, own, orders = await asyncio.wait_for(asyncio.gather(*watching), 10)
    assert [(item["amount"], item["side"]) for item in (trades[-1], own[-1])] == [(0.2, "sell")] * 2
    assert (own[-1]["order"], orders[-1]["id"]) == (placed["id"], placed["id"])


async def test_pro_trades_over_the_socket(exchange: Any, venue: PaperVenue) -> None:
    identity = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    order = SYMBOL, "limit", "buy", 0.01, 60500, {"clientOrderId": identity}
    placed = await asyncio.wait_for(exchange.create_order_ws(*order), 10)
    assert (placed["clientOrderId"], placed["status"]) == (identity, "open")
    assert [item["id"] for item in await exchange.fetch_open_orders(SYMBOL)] == [placed["id"]]
    with pytest.raises(ccxt.ExchangeError):  # duplicate; of the words ccxt keeps none
        await asyncio.wait_for(exchange.create_order_ws(*order), 10)
    assert len(await exchange.fetch_open_orders(SYMBOL)) == 1
    await asyncio.wait_for(exchange.cancel_order_ws(placed["id"], SYMBOL), 10)
    assert await exchange.fetch_open_orders(SYMBOL) == []
    for number in range(2):
        await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.01, 60500 - number)
    [gone] = await asyncio.wait_for(exchange.cancel_all_orders_ws(SYMBOL), 10)
    assert gone["info"]["data"] == {"cancelled_count": 2}
    exchange.privateKey = exchange.binary_to_base58(bytes(range(7, 71)))
    with pytest.raises(ccxt.ExchangeError):
        await asyncio.wait_for(exchange.create_order_ws(*order), 10)
    assert venue.engine.accounts["alpha"].open_orders == {}
