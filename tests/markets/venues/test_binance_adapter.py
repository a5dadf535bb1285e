"""The Binance adapter against the paper venue, over real sockets."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import BaseAmount, Price
from markets.venues.binance.streams import BinanceMarketSession, BinancePrivateSession
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    VenueRejected,
    VenueUnavailable,
)
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.registry import EndpointRefused, UnknownDialect, VenueRegistry
from markets.venues.types import (
    AccountUpdate,
    BookTop,
    CancelOrder,
    Credentials,
    Endpoint,
    MarketEvent,
    MarkPrice,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
    StreamEnded,
    SubmitOrder,
)

REGISTRY = VenueRegistry(allow_loopback=True)


@pytest.fixture
async def client(venue: PaperVenue, credentials: Credentials) -> AsyncIterator[ExecutionClient]:
    made = REGISTRY.execution_client("binance", venue.endpoint, credentials)
    yield made
    await made.close()


@pytest.fixture
async def market(venue: PaperVenue) -> AsyncIterator[MarketClient]:
    made = REGISTRY.market_client("binance", venue.endpoint)
    yield made
    await made.close()


def command(
    client_order_id: str,
    *,
    side: Side = Side.BUY,
    kind: OrderType = OrderType.MARKET,
    amount: str = "0.010",
    price: str | None = None,
    reduce_only: bool = False,
) -> SubmitOrder:
    return SubmitOrder(
        venue_symbol="BTCUSDT",
        side=side,
        type=kind,
        amount=BaseAmount(Decimal(amount)),
        client_order_id=client_order_id,
        price=Price(Decimal(price)) if price else None,
        reduce_only=reduce_only,
    )


async def test_instruments_are_listed_with_their_own_steps(market: MarketClient) -> None:
    listed = {item.venue_symbol: item for item in await market.instruments()}

    assert listed["BTCUSDT"].tick == Decimal("0.1")
    assert listed["BTCUSDT"].lot == Decimal("0.001")
    assert listed["BTCUSDT"].min_notional == 5
    assert listed["BTCUSDT"].contract_size == 1
    assert listed["ETHUSDT"].base == "ETH"
    assert listed["ETHUSDT"].is_active


async def test_market_client_reads_quotes_funding_and_clock(
    market: MarketClient, venue: PaperVenue
) -> None:
    [top] = await market.book_tops(["BTCUSDT"])
    quotes = await market.funding_quotes()
    clock = await market.server_time()

    quote = venue.engine.markets["BTCUSDT"].quote
    assert (top.bid, top.ask, top.sequence) == (quote.bid, quote.ask, quote.update_id)
    assert [(item.venue_symbol, item.rate, item.interval_hours) for item in quotes] == [
        ("BTCUSDT", Decimal("0.0001"), 8),
        ("ETHUSDT", Decimal("0.0001"), 8),
    ]
    assert abs(clock.timestamp() * 1000 - venue.core.now_ms()) < 2000


async def test_balance_and_positions_are_the_venues_own_numbers(
    client: ExecutionClient, venue: PaperVenue
) -> None:
    balance = await client.balance()
    [position] = await client.positions()

    mark = venue.engine.markets["BTCUSDT"].mark
    assert balance.equity == 100_000
    assert balance.initial_margin == Decimal("0.5") * mark / 20
    assert position.size == Decimal("0.5")
    assert position.entry_price == mark


async def test_market_order_is_acknowledged_and_its_fill_is_found(
    client: ExecutionClient, venue: PaperVenue
) -> None:
    report = await client.submit(command("ORDER1", side=Side.SELL, amount="0.100"))
    fills = await client.fills(["BTCUSDT"], since=report.at - timedelta(minutes=1))

    assert report.status is OrderStatus.FILLED
    assert report.filled == Decimal("0.1")
    assert [fill.amount for fill in fills] == [Decimal("0.1")]
    assert fills[0].fee == Decimal("0.1") * fills[0].price * Decimal("0.0005")
    assert (await client.positions())[0].size == Decimal("0.4")
    [entry] = venue.ledger.since(kind="fill")
    assert entry["tradeId"] == fills[0].trade_id
    assert entry["clientOrderId"] == "ORDER1"


async def test_sent_strings_are_ours(client: ExecutionClient, venue: PaperVenue) -> None:
    await client.submit(
        command("EXACT", kind=OrderType.POST_ONLY, amount="0.010", price="61000.10")
    )

    sent = next(e for e in venue.ledger.since(kind="request") if e["method"] == "POST")["params"]
    assert sent["quantity"] == "0.01"
    assert sent["price"] == "61000.1"
    assert sent["timeInForce"] == "GTX"
    assert sent["newClientOrderId"] == "EXACT"
    assert "reduceOnly" not in sent


async def test_resting_order_is_found_by_our_id_and_cancelled_once(
    client: ExecutionClient,
) -> None:
    await client.submit(command("REST1", kind=OrderType.LIMIT, price="61000"))
    assert [order.client_order_id for order in await client.open_orders()] == ["REST1"]
    assert (await client.order("BTCUSDT", "REST1")).status is OrderStatus.OPEN

    cancelled = await client.cancel(CancelOrder("BTCUSDT", "REST1"))

    assert cancelled.status is OrderStatus.CANCELLED
    assert await client.open_orders() == []
    with pytest.raises(OrderNotFound, match="Unknown order"):
        await client.cancel(CancelOrder("BTCUSDT", "REST1"))
    with pytest.raises(OrderNotFound, match="does not exist"):
        await client.order("BTCUSDT", "NEVER")


async def test_cancel_all_empties_one_symbol(client: ExecutionClient) -> None:
    for number in range(3):
        await client.submit(command(f"REST{number}", kind=OrderType.LIMIT, price="61000"))
    await client.cancel_all("BTCUSDT")
    assert await client.open_orders() == []


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (command("R1", amount="0.0005"), "-1111"),
        (command("R2", kind=OrderType.LIMIT, price="61000.05"), "-4014"),
        (command("R3", kind=OrderType.POST_ONLY, price="62500"), "-5022"),
        (command("R4", reduce_only=True), "-2022"),
        (command("R5", amount="40"), "-2019"),
        (command("R6", amount="100000"), "-4005"),
        (command("R7", kind=OrderType.LIMIT, price="70000"), "-4016"),
    ],
)
async def test_structured_reject_is_definitive_and_changes_nothing(
    client: ExecutionClient, venue: PaperVenue, order: SubmitOrder, code: str
) -> None:
    with pytest.raises(VenueRejected) as refused:
        await client.submit(order)

    assert refused.value.venue_code == code
    assert venue.ledger.since(kind="order") == []
    assert len([e for e in venue.ledger.since(kind="request") if e["method"] == "POST"]) == 1


async def test_duplicate_id_means_it_exists_and_is_never_a_reject(
    client: ExecutionClient,
) -> None:
    order = command("TWICE", kind=OrderType.LIMIT, price="61000")
    await client.submit(order)
    with pytest.raises(OutcomeUnknown, match="exists already"):
        await client.submit(order)


async def test_bad_key_and_bad_secret_are_authentication_failures(venue: PaperVenue) -> None:
    for key, secret in (("nobody", "x"), ("paper-key", "wrong")):
        keys = Credentials(api_key=Secret(key), api_secret=Secret(secret))
        client = REGISTRY.execution_client("binance", venue.endpoint, keys)
        with pytest.raises(AuthenticationFailed):
            await client.balance()
        with pytest.raises(AuthenticationFailed):
            await client.submit(command("NOKEY"))
        await client.close()
    assert venue.ledger.since(kind="order") == []


async def test_refused_connection_is_proven_not_sent(credentials: Credentials) -> None:
    nowhere = Endpoint("http://127.0.0.1:9", "ws://127.0.0.1:9")
    client = REGISTRY.execution_client("binance", nowhere, credentials)
    with pytest.raises(NotSent):
        await client.submit(command("LOST"))
    with pytest.raises(VenueUnavailable):
        await client.balance()
    await client.close()


async def test_leverage_is_set_and_confirmed(client: ExecutionClient, venue: PaperVenue) -> None:
    await client.set_leverage("BTCUSDT", Decimal(10))
    assert venue.engine.accounts["alpha"].leverage_of("BTCUSDT") == 10
    with pytest.raises(VenueRejected, match="not valid"):
        await client.set_leverage("BTCUSDT", Decimal(500))


async def test_funding_is_reported_once_with_its_sign(
    client: ExecutionClient, market: MarketClient, venue: PaperVenue
) -> None:
    since = await market.server_time()
    mark = venue.engine.markets["BTCUSDT"].mark
    venue.engine.settle_funding("BTCUSDT", now_ns=venue.core.now_ns(), next_ns=1)

    [payment] = (await client.funding_payments(since=since - timedelta(minutes=1))).rows

    assert payment.amount == -Decimal("0.5") * mark * Decimal("0.0001")
    assert payment.asset == "USDT"


async def test_quotes_and_marks_arrive_over_their_own_sockets(venue: PaperVenue) -> None:
    venue.core.running.set()
    async with aiohttp.ClientSession() as http:
        for session, kind in (
            (REGISTRY.market_session("binance", venue.endpoint, ["BTCUSDT"]), BookTop),
            (REGISTRY.mark_session("binance", venue.endpoint, ["BTCUSDT"]), MarkPrice),
        ):
            async with http.ws_connect(session.url()) as socket:
                for frame in session.opening_frames():
                    await socket.send_str(frame)
                events: Sequence[MarketEvent] = ()
                while not events:  # the acknowledgement comes first
                    events = session.receive((await socket.receive(timeout=3)).data)
            [event] = events
            assert isinstance(event, kind)
            assert event.venue_symbol == "BTCUSDT"


async def test_private_stream_tells_orders_fills_and_its_end(
    client: ExecutionClient, venue: PaperVenue
) -> None:
    session = REGISTRY.private_session("binance")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect((await client.open_private_stream()).url) as socket,
    ):
        await client.submit(command("STREAM1"))
        await client.keep_private_stream()
        venue.dialect.end_listen_key("alpha")
        events: list[Any] = []
        while not events or not isinstance(events[-1], StreamEnded):
            events += session.receive((await socket.receive(timeout=3)).data)

    kinds = [type(event) for event in events]
    assert kinds == [OrderUpdate, AccountUpdate, OrderUpdate, StreamEnded]
    assert events[0].order.status is OrderStatus.OPEN
    assert events[1].positions[0].size == Decimal("0.51")
    assert events[2].fill.amount == Decimal("0.01")
    assert events[2].order.client_order_id == "STREAM1"
    with pytest.raises(VenueRejected) as gone:
        await client.keep_private_stream()
    assert gone.value.venue_code == "-1125"


async def test_orders_of_somebody_else_reach_the_stream_and_are_marked_external(
    client: ExecutionClient, venue: PaperVenue
) -> None:
    session = REGISTRY.private_session("binance")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect((await client.open_private_stream()).url) as socket,
        http.post(
            f"{venue.rest_url}/control/position",
            json={"account": "alpha", "symbol": "BTC", "amount": "-0.2"},
        ) as reply,
    ):
        assert reply.status == 200
        [event] = session.receive((await socket.receive(timeout=3)).data)

    assert isinstance(event, OrderUpdate)
    assert event.order.client_order_id.startswith("web_")
    assert [e["external"] for e in venue.ledger.since(kind="fill")] == [True]
    assert (await client.positions())[0].size == Decimal("0.3")


def test_endpoints_off_the_allow_list_are_refused(credentials: Credentials) -> None:
    evil = Endpoint("https://fapi.binance.com.evil.example", "wss://fstream.binance.com")
    local = Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")
    live = Endpoint("https://fapi.binance.com", "wss://fstream.binance.com")
    with pytest.raises(EndpointRefused):
        REGISTRY.execution_client("binance", evil, credentials)
    with pytest.raises(EndpointRefused):
        VenueRegistry().market_session("binance", local, ["BTCUSDT"])
    with pytest.raises(UnknownDialect):
        REGISTRY.private_session("nowhere")
    assert isinstance(
        VenueRegistry().market_session("binance", live, ["BTCUSDT"]), BinanceMarketSession
    )
    assert isinstance(REGISTRY.private_session("binance"), BinancePrivateSession)


def test_blank_credentials_are_named(venue: PaperVenue) -> None:
    with pytest.raises(MissingCredential, match="API key"):
        REGISTRY.execution_client("binance", venue.endpoint, Credentials())
