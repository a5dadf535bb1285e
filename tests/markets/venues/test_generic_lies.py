"""A ccxt venue that lies: the contracts' lies before the Bybit, OKX and Hyperliquid stubs."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.units import BaseAmount, Price
from markets.venues.errors import OutcomeUnknown, VenueUnavailable
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.registry import VenueRegistry
from markets.venues.types import OrderType, Side, SubmitOrder
from tests.contracts.lying import Liar, honest, with_fields
from tests.contracts.test_lies import FILLED, NUMBERS, TIMES
from tests.markets.venues.ccxt_stubs import STUBS, BybitStub, StubVenue

REGISTRY = VenueRegistry(allow_loopback=True)


@dataclass(frozen=True)
class Words:
    """The venue's names of what is lied about; Hyperliquid tells what is left of an order."""

    symbol: str
    foreign: str
    client_id: str
    filled: str
    order_at: str
    fill_amount: str
    fill_at: str


WORDS: Final = {
    "bybit": Words(
        "symbol", "ETHUSDT", "orderLinkId", "cumExecQty", "updatedTime", "execQty", "execTime"
    ),
    "okx": Words("instId", "ETH-USDT-SWAP", "clOrdId", "accFillSz", "uTime", "fillSz", "ts"),
    "hyperliquid": Words("coin", "ETH", "cloid", "sz", "statusTimestamp", "sz", "time"),
}


@pytest.fixture(params=STUBS)
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[StubVenue]:
    async with STUBS[request.param]().serve() as running:
        yield running


@pytest.fixture
def words(venue: StubVenue) -> Words:
    return WORDS[venue.ccxt_id]


@pytest.fixture
async def liar(venue: StubVenue) -> AsyncIterator[Liar]:
    async with Liar(venue.endpoint.rest).serve() as running:
        yield running


@pytest.fixture
async def client(venue: StubVenue, liar: Liar) -> AsyncIterator[ExecutionClient]:
    endpoint = replace(liar.endpoint, websocket="", ccxt_id=venue.ccxt_id)
    made = REGISTRY.execution_client("generic", endpoint, venue.credentials)
    yield made
    await made.close()


@pytest.fixture
async def market(venue: StubVenue, liar: Liar) -> AsyncIterator[MarketClient]:
    endpoint = replace(liar.endpoint, websocket="", ccxt_id=venue.ccxt_id)
    made = REGISTRY.market_client("generic", endpoint)
    yield made
    await made.close()


def order(venue: StubVenue) -> SubmitOrder:
    return SubmitOrder(
        venue_symbol=venue.symbol,
        side=Side.BUY,
        type=OrderType.LIMIT,
        amount=BaseAmount(Decimal("0.012")),
        client_order_id=client_order_id(uuid7()),
        price=Price(Decimal("65000")),
    )


@pytest.mark.parametrize("filled", FILLED.values(), ids=FILLED)
async def test_orders_with_false_numbers_are_unavailable(
    venue: StubVenue, words: Words, liar: Liar, client: ExecutionClient, filled: str
) -> None:
    command = order(venue)
    await client.submit(command)
    told = "999" if filled == "9.99" else filled  # contracts of OKX are a hundredth
    liar.answers = with_fields(**{words.filled: told})
    with pytest.raises(VenueUnavailable):
        await client.open_orders()
    with pytest.raises(VenueUnavailable):
        await client.order(venue.symbol, command.client_order_id)
    liar.answers = honest
    assert len(await client.open_orders()) == 1


@pytest.mark.parametrize("at", TIMES.values(), ids=TIMES)
async def test_orders_and_fills_with_a_false_time_are_unavailable(
    venue: StubVenue,
    words: Words,
    liar: Liar,
    client: ExecutionClient,
    at: Callable[[], int],
) -> None:
    command = order(venue)
    await client.submit(command)
    if isinstance(venue, BybitStub):
        venue.trade(1, TIMES["seconds"]() * 1000 - 60_000)
    await client.positions()  # so the clock and the listing are known
    liar.answers = with_fields(**{words.order_at: str(at()), words.fill_at: str(at())})
    with pytest.raises(VenueUnavailable):
        await client.order(venue.symbol, command.client_order_id)
    with pytest.raises(VenueUnavailable):
        await client.fills([venue.symbol], since=datetime.now(UTC) - timedelta(hours=1))


async def test_another_symbol_or_id_is_not_our_order(
    venue: StubVenue, words: Words, liar: Liar, client: ExecutionClient
) -> None:
    command = order(venue)
    await client.submit(command)
    lies: list[dict[str, Any]] = [
        {words.symbol: words.foreign},
        {words.client_id: f"0x{uuid7().hex}" if venue.ccxt_id == "hyperliquid" else "theirs"},
    ]
    for lie in lies:
        liar.answers = with_fields(**lie)
        with pytest.raises(VenueUnavailable):
            await client.order(venue.symbol, command.client_order_id)


@pytest.mark.parametrize("told", NUMBERS.values(), ids=NUMBERS)
async def test_fills_with_false_numbers_are_unavailable(
    venue: StubVenue, words: Words, liar: Liar, client: ExecutionClient, told: str
) -> None:
    if isinstance(venue, BybitStub):
        venue.trade(1, TIMES["seconds"]() * 1000 - 60_000)
    await client.positions()
    liar.answers = with_fields(**{words.fill_amount: told})
    with pytest.raises(VenueUnavailable):
        await client.fills([venue.symbol], since=datetime.now(UTC) - timedelta(hours=1))


async def test_an_echo_with_another_id_is_unknown_and_sent_once(
    venue: StubVenue, words: Words, liar: Liar, client: ExecutionClient
) -> None:
    await client.positions()
    liar.answers = with_fields(**{words.client_id: "0x" + "ab" * 16})
    command = order(venue)
    with pytest.raises(OutcomeUnknown):
        await client.submit(command)
    assert len(venue.order_requests()) == 1
