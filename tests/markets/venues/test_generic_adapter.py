"""Any ccxt venue behind the ports, against loopback Bybit, OKX and Hyperliquid."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from controlplane.kernel.ids import client_order_id, uuid7
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
)
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.ratelimit.limiter import limiter
from markets.venues.registry import EndpointRefused, VenueRegistry, capabilities
from markets.venues.shared import MAX_ANSWER
from markets.venues.types import (
    CancelOrder,
    Credentials,
    Endpoint,
    OrderStatus,
    OrderType,
    Side,
    SubmitOrder,
)
from tests.markets.venues.ccxt_stubs import (
    STUBS,
    BybitStub,
    HyperliquidStub,
    OkxStub,
    StubVenue,
    now_ms,
)

REGISTRY = VenueRegistry(allow_loopback=True)
UTC_NOW = lambda: datetime.now(UTC)  # noqa: E731


@pytest.fixture(params=STUBS)
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[StubVenue]:
    async with STUBS[request.param]().serve() as running:
        yield running


@pytest.fixture
async def client(venue: StubVenue) -> AsyncIterator[ExecutionClient]:
    async with venue.client() as made:
        yield made


@pytest.fixture
async def market(venue: StubVenue) -> AsyncIterator[MarketClient]:
    made = REGISTRY.market_client("generic", venue.endpoint)
    yield made
    await made.close()


def order(venue: StubVenue, **changes: Any) -> SubmitOrder:
    terms: dict[str, Any] = {
        "venue_symbol": venue.symbol,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "amount": Decimal("0.012"),
        "client_order_id": client_order_id(uuid7()),
        "price": Decimal("65000"),
    }
    return SubmitOrder(**{**terms, **changes})


def sent(venue: StubVenue) -> Any:
    """Return what the only order request asked for."""
    (request,) = venue.order_requests()
    action = request.fields.get("action")
    return action["orders"][0] if action else request.fields


# Reading


async def test_instruments_are_linear_perpetuals_in_base_units(
    venue: StubVenue, market: MarketClient
) -> None:
    (report,) = await market.instruments()
    size = Decimal("0.01") if venue.ccxt_id == "okx" else Decimal(1)
    assert (report.venue_symbol, report.base) == (venue.symbol, "BTC")
    assert report.contract_size == size
    lots = {"bybit": "0.001", "okx": "0.0001", "hyperliquid": "0.00001"}
    assert report.lot == report.min_qty == Decimal(lots[venue.ccxt_id])
    assert report.is_active


async def test_a_book_is_in_base_units_and_exact(venue: StubVenue, market: MarketClient) -> None:
    (top,) = await market.book_tops((venue.symbol,))
    expected = {
        "bybit": ("65485.4", "47.081829", "65485.5", "16.798"),
        "okx": ("65485.4", "12.005", "65485.5", "2.5"),
        "hyperliquid": ("65485.0", "3.25", "65486.0", "1.5"),
    }[venue.ccxt_id]
    assert (top.bid, top.bid_size, top.ask, top.ask_size) == tuple(map(Decimal, expected))
    assert abs(top.venue_ms - now_ms()) < 5000


async def test_funding_needs_rate_mark_interval_and_next_time(
    venue: StubVenue, market: MarketClient
) -> None:
    (quote,) = await market.funding_quotes()
    rates = {"bybit": "-0.0001", "okx": "0.0000751", "hyperliquid": "0.0000125"}
    assert quote.rate == Decimal(rates[venue.ccxt_id])
    assert quote.interval_hours == (1 if venue.ccxt_id == "hyperliquid" else 8)
    assert quote.mark_price in (Decimal("65487.2"), Decimal("65487.0"))
    assert UTC_NOW() < quote.next_funding_at <= UTC_NOW() + timedelta(hours=8)


async def test_the_margin_state_is_read_off_the_venues_own_answer(
    venue: StubVenue, client: ExecutionClient
) -> None:
    report = await client.balance()
    expected = {
        "bybit": ("1003.12345678901234", "1001.5", "900.25", "90.5", "45.25"),
        "okx": ("5021.33", "5000.25", "4000.5", "800.125", "40.5"),
        "hyperliquid": ("994.01", "1000.00", "900.5", "80.55", "10.07"),
    }[venue.ccxt_id]
    assert (
        report.equity,
        report.wallet_balance,
        report.available,
        report.initial_margin,
        report.maintenance_margin,
    ) == tuple(map(Decimal, expected))


async def test_positions_are_signed_base(venue: StubVenue, client: ExecutionClient) -> None:
    (report,) = await client.positions()
    sizes = {"bybit": "-0.25", "okx": "-0.125", "hyperliquid": "-0.0123"}
    assert (report.venue_symbol, report.size) == (venue.symbol, Decimal(sizes[venue.ccxt_id]))


async def test_fills_are_base_with_fee_and_role(venue: StubVenue, client: ExecutionClient) -> None:
    if isinstance(venue, BybitStub):
        venue.trade(1, now_ms() - 60_000)
    (fill,) = await client.fills([venue.symbol], since=UTC_NOW() - timedelta(hours=1))
    expected = {
        "bybit": ("0.01", "65485.5", "0.36017025", False),
        "okx": ("0.125", "65485.4", "1.63", True),
        "hyperliquid": ("0.0123", "65485.0", "0.36", False),
    }[venue.ccxt_id]
    assert (str(fill.amount.normalize()), str(fill.price), str(fill.fee), fill.is_maker) == expected


async def test_more_fills_than_a_page_are_all_found() -> None:
    async with BybitStub().serve() as venue:
        assert isinstance(venue, BybitStub)
        start = now_ms() - 20 * 24 * 3600 * 1000
        for number in range(350):
            venue.trade(number, start + (number if number < 250 else number * 4_000_000))
        client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
        since = datetime.fromtimestamp(start / 1000, tz=UTC)
        fills = await client.fills([venue.symbol], since=since)
        await client.close()
    assert {fill.trade_id for fill in fills} == {f"trade-{number}" for number in range(350)}
    assert len(fills) == 350
    assert fills == sorted(fills, key=lambda fill: fill.at)


async def test_two_sided_accounts_are_unknown_not_netted() -> None:
    async with OkxStub().serve() as venue:
        venue.answers["posSide"] = "long"
        client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
        with pytest.raises(VenueUnavailable, match="hedge-mode"):
            await client.positions()
        await client.close()


async def test_an_instrument_without_contract_size_is_left_out() -> None:
    async with OkxStub().serve() as venue:
        venue.answers["ctVal"] = ""
        market = REGISTRY.market_client("generic", venue.endpoint)
        assert list(await market.instruments()) == []
        await market.close()


async def test_an_old_book_is_no_quote() -> None:
    async with BybitStub().serve() as venue:
        venue.answers["book_ms"] = now_ms() - 60_000
        market = REGISTRY.market_client("generic", venue.endpoint)
        with pytest.raises(VenueUnavailable, match="stale"):
            await market.book_tops((venue.symbol,))
        await market.close()


async def test_an_open_order_nobody_can_place_makes_the_list_unknown() -> None:
    async with BybitStub().serve() as venue:
        venue.answers["order_symbol"] = "NEWUSDT"
        client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
        await client.submit(order(venue))
        with pytest.raises(VenueUnavailable, match="unknown-symbol"):
            await client.open_orders()
        await client.close()


# Acting


@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.POST_ONLY, OrderType.IOC])
async def test_an_order_goes_out_once_with_our_strings(
    venue: StubVenue, client: ExecutionClient, kind: OrderType
) -> None:
    command = order(venue, type=kind, reduce_only=True)
    report = await client.submit(command)
    fields = sent(venue)
    if venue.ccxt_id == "hyperliquid":
        tif = {"limit": "Gtc", "post-only": "Alo", "ioc": "Ioc"}[kind.value]
        assert (fields["s"], fields["p"], fields["r"]) == ("0.012", "65000", True)
        assert fields["t"] == {"limit": {"tif": tif}}
    elif venue.ccxt_id == "okx":
        word = {"limit": "limit", "post-only": "post_only", "ioc": "ioc"}[kind.value]
        assert (fields["sz"], fields["px"], fields["ordType"]) == ("1.2", "65000", word)
        assert (fields["clOrdId"], fields["reduceOnly"]) == (command.client_order_id, True)
    else:
        assert (fields["qty"], fields["price"]) == ("0.012", "65000")
        words = {"limit": None, "post-only": "PostOnly", "ioc": "IOC"}
        assert fields.get("timeInForce") == words[kind.value]
        assert (fields["orderLinkId"], fields["reduceOnly"]) == (command.client_order_id, True)
    assert report.client_order_id == command.client_order_id
    assert (report.status, report.amount, report.filled) == (OrderStatus.OPEN, command.amount, 0)
    assert report.venue_order_id


async def test_no_request_names_a_builder_or_a_referrer(
    venue: StubVenue, client: ExecutionClient
) -> None:
    command = order(venue)
    await client.submit(command)
    await client.cancel(CancelOrder(venue.symbol, command.client_order_id))
    await client.set_leverage(venue.symbol, Decimal(5))
    await client.balance()
    for request in venue.requests:
        assert "builder" not in request.text.lower()
        assert "setreferrer" not in request.text.lower()


async def test_a_request_that_would_pay_a_builder_is_not_sent() -> None:
    async with HyperliquidStub().serve() as venue, venue.client() as client:
        await client.positions()
        # As if a class named one in spite of what it was told: the last look is at the request.
        options = client._exchange.options  # type: ignore[attr-defined]
        options.update(builderFee=True, approvedBuilderFee=True, builder="0x" + "ab" * 20)
        with pytest.raises(NotSent, match="builder"):
            await client.submit(order(venue))
        assert venue.order_requests() == []


async def test_an_order_is_found_listed_and_cancelled_by_our_id(
    venue: StubVenue, client: ExecutionClient
) -> None:
    command, other = order(venue), order(venue)
    for each in (command, other):
        await client.submit(each)
    found = await client.order(venue.symbol, command.client_order_id)
    assert (found.status, found.amount) == (OrderStatus.OPEN, command.amount)
    assert {item.client_order_id for item in await client.open_orders()} == {
        command.client_order_id,
        other.client_order_id,
    }
    report = await client.cancel(CancelOrder(venue.symbol, command.client_order_id))
    assert report.status is OrderStatus.CANCELLED
    (left,) = await client.open_orders()
    assert left.client_order_id == other.client_order_id


async def test_an_unknown_id_is_not_found(venue: StubVenue, client: ExecutionClient) -> None:
    stranger = client_order_id(uuid7())
    with pytest.raises(OrderNotFound):
        await client.order(venue.symbol, stranger)
    with pytest.raises(OrderNotFound):
        await client.cancel(CancelOrder(venue.symbol, stranger))


async def test_all_orders_of_a_contract_are_cancelled() -> None:
    for stub in (BybitStub, OkxStub):
        async with stub().serve() as venue:
            client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
            for _ in range(2):
                await client.submit(order(venue))
            await client.cancel_all(venue.symbol)
            assert list(await client.open_orders()) == []
            await client.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Decimal("0.0123456789")},
        {"price": Decimal("65000.123456")},
        {"amount": Decimal(0)},
        {"price": None},
        {"venue_symbol": "NOPE/USDT:USDT"},
    ],
)
async def test_what_ccxt_would_round_or_not_know_is_not_sent(
    venue: StubVenue, client: ExecutionClient, changes: dict[str, Any]
) -> None:
    with pytest.raises(NotSent):
        await client.submit(order(venue, **changes))
    assert venue.order_requests() == []


async def test_a_structured_refusal_is_proof(venue: StubVenue, client: ExecutionClient) -> None:
    venue.answer = venue.refusal()
    with pytest.raises(VenueRejected):
        await client.submit(order(venue))
    assert len(venue.order_requests()) == 1


async def test_a_code_the_library_does_not_know_proves_nothing(
    venue: StubVenue, client: ExecutionClient
) -> None:
    venue.answer = venue.undecided()
    command = order(venue)
    with pytest.raises(OutcomeUnknown):
        await client.submit(command)
    assert len(venue.order_requests()) == 1
    found = await client.order(venue.symbol, command.client_order_id)
    assert found.amount == command.amount


async def test_a_duplicate_id_is_no_refusal() -> None:
    async with OkxStub().serve() as venue:
        assert isinstance(venue, OkxStub)
        client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
        venue.answer = venue.duplicate()
        with pytest.raises(OutcomeUnknown, match="51016"):
            await client.submit(order(venue))
        await client.close()


POISON = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "html": b"<html>502</html>",
    "cut": b'{"retCode": 0, "result": {"orderId": "1", "ord',
    "nan": b'{"retCode":0,"code":"0","result":{"orderId":NaN},"data":[{"ordId":NaN}]}',
    "no id": b'{"retCode":0,"code":"0","result":{},"data":[{"sCode":"0"}]}',
    "another's id": b'{"retCode":0,"code":"0","result":{"orderId":"1","orderLinkId":"x"},'
    b'"data":[{"ordId":"1","clOrdId":"x","sCode":"0"}]}',
    "deep": b"[" * 5000 + b"]" * 5000,
    "long": b'{"pad": "' + b"x" * (MAX_ANSWER + 10) + b'"}',
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON)
async def test_no_answer_that_is_no_proof_is_believed(
    venue: StubVenue, client: ExecutionClient, body: bytes
) -> None:
    venue.answer = web.Response(body=body, content_type="application/json")
    with pytest.raises(OutcomeUnknown):
        await client.submit(order(venue))
    assert len(venue.order_requests()) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_server_error_leaves_an_order_unknown(
    venue: StubVenue, client: ExecutionClient, status: int
) -> None:
    venue.answer = web.json_response({"code": "1", "retCode": 10001, "msg": "no"}, status=status)
    with pytest.raises(OutcomeUnknown):
        await client.submit(order(venue))


async def test_throttling_says_how_long_to_wait(venue: StubVenue, client: ExecutionClient) -> None:
    venue.answer = web.json_response({}, status=429, headers={"Retry-After": "7"})
    with pytest.raises(RateLimited) as caught:
        await client.submit(order(venue))
    assert caught.value.retry_after == 7


async def test_a_refused_key_is_told_apart() -> None:
    async with BybitStub().serve() as venue:
        client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
        venue.answer = web.json_response({"retCode": 10003, "retMsg": "API key is invalid."})
        with pytest.raises(AuthenticationFailed):
            await client.submit(order(venue))
        await client.close()


async def test_nothing_is_sent_to_a_venue_that_does_not_listen() -> None:
    async with BybitStub().serve() as venue:
        client = REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
    with pytest.raises(NotSent):
        await client.submit(order(venue))
    with pytest.raises(VenueUnavailable):
        await client.positions()
    assert {use.used for use in limiter().uses()} == {0}  # nor is it counted
    await client.close()


# Sharing, limits, refusals


async def test_accounts_share_one_listing_clock_and_session() -> None:
    async with BybitStub().serve() as venue:
        clients = [
            REGISTRY.execution_client("generic", venue.endpoint, venue.credentials)
            for _ in range(20)
        ]
        await asyncio.gather(*(client.positions() for client in clients))
        paths = [request.path for request in venue.requests]
        assert paths.count("/v5/market/time") == 1
        assert paths.count("/v5/market/instruments-info") == 2  # listed and not yet listed
        assert paths.count("/v5/position/list") == 20
        assert len({id(client._exchange.markets) for client in clients}) == 1  # type: ignore[attr-defined]
        await asyncio.gather(*(client.close() for client in clients))


@pytest.mark.parametrize("name", ["gate", "bitget", "kucoinfutures", "krakenfutures", "mexc"])
def test_a_venue_we_know_little_of_states_its_limits(name: str) -> None:
    able = capabilities("generic", Endpoint("", "", ccxt_id=name))
    assert not able.order_by_client_id
    assert not able.margin_state
    assert not able.private_stream
    assert not able.top_of_book_stream


def test_the_exercised_venues_state_what_they_can() -> None:
    for name in STUBS:
        able = capabilities("generic", Endpoint("", "", ccxt_id=name))
        assert able.order_by_client_id
        assert able.margin_state
        assert able.reduce_only
        assert able.post_only
        assert not able.private_stream
        assert able.dead_man_timer is (name != "bybit")
        assert not able.dead_man_timer_per_symbol
    assert not capabilities("generic", Endpoint("", "", ccxt_id="hyperliquid")).market_orders


def test_keys_go_to_the_classes_own_hosts_or_loopback_only() -> None:
    keys = BybitStub.credentials
    with pytest.raises(EndpointRefused):
        REGISTRY.execution_client("generic", Endpoint("https://evil.example", "", "bybit"), keys)
    with pytest.raises(EndpointRefused):
        VenueRegistry().execution_client(
            "generic", Endpoint("http://127.0.0.1:1", "", "bybit"), keys
        )
    client: Any = VenueRegistry().execution_client("generic", Endpoint("", "", "bybit"), keys)
    assert set(client._exchange.urls["api"].values()) == {"https://api.{hostname}"}


def test_an_account_without_its_keys_gets_no_client() -> None:
    with pytest.raises(MissingCredential, match="api_key"):
        REGISTRY.execution_client("generic", Endpoint("", "", "bybit"), Credentials())
