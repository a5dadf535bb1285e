"""An unmodified ccxt trades on the paper Aster, its builder's fee and all, by its owner's key."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from controlplane.kernel.secrets import Secret
from markets.venues.aster.signing import Signer
from markets.venues.paper.config import account_config
from markets.venues.paper.dialects import wallet_door
from markets.venues.paper.server import PaperVenue
from tests.markets.venues import ccxt_clients
from tests.markets.venues.ccxt_clients import listened, opened
from tests.markets.venues.conftest import paper_config

OWNER = "0x" + "29" * 32
SYMBOL = "BTC/USDT:USDT"
CCXT = "0x1F5877C19e3777Cfd15F9d57253eA4aA5254Ec39"


def address(key: str) -> str:
    return Signer(Secret(key), chain_id=1666).address


@pytest.fixture
async def venue() -> AsyncIterator[PaperVenue]:
    owner = address(OWNER)
    accounts = (
        account_config("alpha", owner, owner, Decimal(100_000), {"BTC": Decimal("0.5")}),
        account_config("other", address("0x" + "31" * 32), owner, Decimal(100)),
    )
    async with PaperVenue.start(paper_config(dialect="aster", accounts=accounts)) as running:
        yield running


@pytest.fixture
async def exchange(venue: PaperVenue) -> AsyncIterator[Any]:
    async with opened(ccxt_clients.aster(venue, key=OWNER)) as made:
        yield made


def order_entries(venue: PaperVenue, client_id: str) -> list[dict[str, Any]]:
    entries = venue.core.ledger.since(kind="order")
    return [entry for entry in entries if entry["clientOrderId"] == client_id]


async def test_its_builder_is_approved_on_loading_and_paid_by_each_order(
    exchange: Any, venue: PaperVenue
) -> None:
    assert exchange.options["builderFee"] is True
    assert exchange.options["approvedBuilderFee"] is True
    [approved] = await exchange.fapiPrivateGetV3Builder()
    assert approved == {
        "userAddress": address(OWNER),
        "builderAddress": CCXT,
        "maxFeeRate": "0.001",
        "builderName": "ccxt",
    }
    await exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, 60500, {"timeInForce": "GTX", "newClientOrderId": "b1"}
    )
    [entry] = order_entries(venue, "b1")
    assert (entry["builder"], entry["builderFeeRate"]) == (CCXT, "0.001")


async def test_an_approval_is_the_accounts_own_and_found_by_the_next_client(
    exchange: Any, venue: PaperVenue
) -> None:
    accounts = venue.engine.accounts
    assert (list(accounts["alpha"].builders), accounts["other"].builders) == ([CCXT], {})
    async with opened(ccxt_clients.aster(venue, key=OWNER)) as again:
        assert again.options["builderFee"] is True
    assert asked(venue, "/fapi/v3/approveBuilder") == 1


def asked(venue: PaperVenue, path: str) -> int:
    return sum(entry["path"] == path for entry in venue.core.ledger.since(kind="request"))


async def test_a_builder_not_approved_or_who_takes_more_gets_no_order(
    exchange: Any, venue: PaperVenue
) -> None:
    taking_more, approved = "0.0011", "0.001"
    order = SYMBOL, "market", "buy", 0.01, None, {"newClientOrderId": "x"}
    exchange.options["builderRate"] = taking_more
    with pytest.raises(ccxt.BaseError, match="-1130"):
        await exchange.create_order(*order)
    exchange.options["builderRate"] = approved
    venue.engine.accounts["alpha"].builders.clear()
    with pytest.raises(ccxt.BaseError, match="-1130"):
        await exchange.create_order(*order)
    assert order_entries(venue, "x") == []


@pytest.mark.parametrize("change", [{"maxFeeRate": "0.5"}, {"nonce": "1"}])
async def test_an_approval_that_was_changed_under_way_is_refused(
    exchange: Any, venue: PaperVenue, change: dict[str, str]
) -> None:
    fields = {
        "builder": "0x" + "ab" * 20,
        "builderName": "else",
        "maxFeeRate": "0.002",
        "signatureChainId": 1666,
        "asterChain": "Mainnet",
    }
    signed = exchange.sign("v3/approveBuilder", ["fapiPrivate"], "POST", fields)
    body = dict(pair.split("=") for pair in signed["body"].split("&")) | change
    text = "&".join(f"{name}={value}" for name, value in body.items())
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        await exchange.fetch(signed["url"], "POST", signed["headers"], text)
    assert list(venue.engine.accounts["alpha"].builders) == [CCXT]


def test_the_approval_that_is_checked_is_what_ccxt_signs() -> None:
    made = ccxt.aster({"privateKey": OWNER})
    fields = {"builder": CCXT, "builderName": "ccxt", "maxFeeRate": "0.001"}
    signed = made.sign(
        "v3/approveBuilder", ["fapiPrivate"], "POST", {**fields, "asterChain": "Mainnet"}
    )
    body = dict(pair.split("=") for pair in signed["body"].split("&"))
    digest = wallet_door.consent_digest(body, int(body["nonce"]))
    assert wallet_door.has_signed(address(OWNER).lower(), digest, body["signature"])
    assert not wallet_door.is_signed_by(
        address(OWNER).lower(), signed["body"].split("&signature")[0].encode(), body["signature"]
    )


async def test_it_reads_the_market_and_the_account(exchange: Any) -> None:
    book = await exchange.fetch_order_book(SYMBOL, 5)
    top = (await exchange.fetch_bids_asks([SYMBOL]))[SYMBOL]
    assert (top["bid"], top["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    assert (await exchange.fetch_ticker(SYMBOL))["last"] == top["bid"]
    assert (await exchange.fetch_funding_rate(SYMBOL))["fundingRate"] == 0.0001
    assert abs(await exchange.fetch_time() - time.time() * 1000) < 60_000
    assert (await exchange.fetch_balance())["USDT"]["total"] == 100_000
    [position] = [item for item in await exchange.fetch_positions() if item["contracts"]]
    assert (position["symbol"], position["side"], position["contracts"]) == (SYMBOL, "long", 0.5)


async def test_post_only_rests_is_found_and_cancelled(exchange: Any) -> None:
    order = await exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, 60500, {"timeInForce": "GTX", "newClientOrderId": "c1"}
    )
    assert (order["status"], order["clientOrderId"]) == ("open", "c1")
    assert (await exchange.fetch_order(order["id"], SYMBOL))["status"] == "open"
    assert [item["id"] for item in await exchange.fetch_open_orders(SYMBOL)] == [order["id"]]
    assert (await exchange.cancel_order(order["id"], SYMBOL))["status"] == "canceled"
    assert await exchange.fetch_open_orders(SYMBOL) == []
    with pytest.raises(ccxt.BaseError, match="-5022"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 62500, {"timeInForce": "GTX"})


async def test_market_orders_fill_and_leverage_is_set(exchange: Any) -> None:
    filled = await exchange.create_order(SYMBOL, "market", "sell", 0.2)
    assert (await exchange.fetch_order(filled["id"], SYMBOL))["filled"] == 0.2
    [position] = [item for item in await exchange.fetch_positions() if item["contracts"]]
    assert (position["side"], position["contracts"]) == ("long", 0.3)
    [trade] = await exchange.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["amount"], trade["side"]) == (filled["id"], 0.2, "sell")
    assert (await exchange.set_leverage(10, SYMBOL))["leverage"] == 10
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order(SYMBOL, "market", "buy", 100)


async def test_pro_watches_quotes_tickers_trades_and_positions(
    exchange: Any, venue: PaperVenue
) -> None:
    venue.core.running.set()
    tops = await asyncio.wait_for(exchange.watch_bids_asks([SYMBOL]), 10)
    assert tops[SYMBOL]["bid"] < tops[SYMBOL]["ask"]
    assert (await asyncio.wait_for(exchange.watch_ticker(SYMBOL), 10))["last"] > 0
    [held] = await asyncio.wait_for(exchange.watch_positions(), 10)  # asked over HTTP
    assert held["contracts"] == 0.5
    # Else ccxt 4.5.90 breaks off at the first update, which it looks for a balance to put it to.
    exchange.balance["swap"] = None
    watching = asyncio.ensure_future(exchange.watch_trades(SYMBOL))
    holding = asyncio.ensure_future(exchange.watch_positions())
    await listened(venue, "btcusdt@aggTrade", "user:alpha")
    await exchange.create_order(SYMBOL, "market", "buy", 0.1)
    [trade] = await asyncio.wait_for(watching, 10)
    assert (trade["amount"], trade["side"]) == (0.1, "buy")
    [held] = await asyncio.wait_for(holding, 10)
    assert (held["symbol"], held["side"], held["contracts"]) == (SYMBOL, "long", 0.6)
