"""The limiter before real sockets: a venue that enforces its limits never has to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from markets.venues.errors import OrderNotFound, OutcomeUnknown, RateLimited, VenueUnavailable
from markets.venues.paper.dialects import fapi_usage
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit import gates
from markets.venues.ratelimit.limiter import Limiter, Waiter
from markets.venues.ratelimit.saying import recovering
from markets.venues.ratelimit.terms import SECOND_NS
from markets.venues.types import CancelOrder
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import KITS
from tests.contracts.orders import resting

KIT = KITS["binance"]()
WEIGHT = 400


class StillClock(Limiter):
    """A limiter whose time passes when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 1
        self.queued = 0
        super().__init__(clock=lambda: self.now_ns, luck=lambda _most: 0)

    def queue(self) -> Waiter:
        self.queued += 1
        return super().queue()

    def pass_seconds(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND_NS


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    made = StillClock()
    monkeypatch.setattr(gates, "limiter", lambda: made)
    return made


@pytest.fixture
async def venue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PaperVenue]:
    """A venue that allows little and bans those who ask for more."""
    monkeypatch.setattr(fapi_usage, "WEIGHT_PER_MINUTE", WEIGHT)
    monkeypatch.setattr("markets.venues.paper.dialects.fapi_routes.WEIGHT_PER_MINUTE", WEIGHT)
    async with PaperVenue.start(KIT.config(enforce_limits=True)) as running:
        yield running


@pytest.fixture
async def client(still: StillClock, venue: PaperVenue) -> AsyncIterator[ExecutionClient]:
    market = REGISTRY.market_client("binance", venue.endpoint)
    await market.instruments()  # and with it the venue's limits
    await market.close()
    made = REGISTRY.execution_client("binance", venue.endpoint, KIT.credentials)
    yield made
    await made.close()


def statuses(venue: PaperVenue) -> set[int]:
    return {entry["status"] for entry in venue.ledger.since(kind="request")}


async def read_until_held_back(client: ExecutionClient) -> int:
    """Ask in a burst for more than the venue allows; return how many reads were answered."""
    asked = await asyncio.gather(
        *(client.positions() for _ in range(WEIGHT // 5)), return_exceptions=True
    )
    held = [item for item in asked if isinstance(item, BaseException)]
    assert all(isinstance(item, RateLimited) for item in held)
    assert held
    return len(asked) - len(held)


async def test_a_burst_of_reads_is_held_back_before_the_venue_has_to_refuse(
    client: ExecutionClient, venue: PaperVenue
) -> None:
    answered = await read_until_held_back(client)
    assert WEIGHT * 50 // 100 <= answered * 5 <= WEIGHT * 60 // 100
    assert statuses(venue) == {200}


async def test_reads_that_recover_leave_where_routine_ones_are_held_back(
    client: ExecutionClient, venue: PaperVenue
) -> None:
    await read_until_held_back(client)
    with recovering():
        await client.positions()
    with pytest.raises(RateLimited):
        await client.positions()
    assert statuses(venue) == {200}


async def test_at_the_limit_cancels_and_reducing_orders_leave_without_waiting(
    client: ExecutionClient, venue: PaperVenue, still: StillClock
) -> None:
    commands = [resting(KIT) for _ in range(20)]
    for command in commands:
        await client.submit(command)
    await read_until_held_back(client)
    while True:
        try:
            commands.append(resting(KIT))
            await client.submit(commands[-1])
        except RateLimited:
            break
    still.queued = 0
    for command in commands[:60]:  # as many as the last fifth of the limit takes
        await client.cancel(CancelOrder(command.venue_symbol, command.client_order_id))
    assert still.queued == 0
    with pytest.raises(RateLimited):
        await client.positions()
    assert statuses(venue) == {200}


async def test_a_minute_later_reads_leave_again(
    client: ExecutionClient,
    venue: PaperVenue,
    still: StillClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await read_until_held_back(client)
    still.pass_seconds(60)
    dialect: Any = venue.dialect
    monkeypatch.setattr(dialect._rest, "_usage", fapi_usage.Usage())
    await client.positions()
    assert statuses(venue) == {200}


async def test_a_storm_of_5xx_is_asked_once_a_second_while_cancels_are_tried(
    client: ExecutionClient, venue: PaperVenue, still: StillClock
) -> None:
    await client.positions()
    storm = Fault(FaultKind.ANSWER, accepts=False, status=503, body=b"", times=1000)
    venue.faults.add(storm)
    [standing] = venue.faults.standing()
    for _ in range(5):
        with pytest.raises(VenueUnavailable):
            await client.positions()
    told = venue.ledger.last_sequence
    tries = standing.fired
    for _second in range(5):
        for _ in range(20):
            with pytest.raises((RateLimited, OutcomeUnknown)):
                await client.submit(resting(KIT))
        still.pass_seconds(1)
    assert standing.fired - tries == 4
    with pytest.raises(OutcomeUnknown):
        await client.cancel(CancelOrder("BTCUSDT", resting(KIT).client_order_id))
    assert standing.fired - tries == 5
    assert venue.ledger.since(told, kind="order") == []

    venue.faults.clear()
    for _ in range(3):
        still.pass_seconds(2)
        await client.positions()
    for _ in range(5):
        await client.submit(resting(KIT))
    with pytest.raises(OrderNotFound):
        await client.cancel(CancelOrder("BTCUSDT", resting(KIT).client_order_id))


async def test_a_venue_that_does_not_listen_costs_nothing_of_its_limits(still: StillClock) -> None:
    async with PaperVenue.start(KIT.config()) as running:
        client = REGISTRY.execution_client("binance", running.endpoint, KIT.credentials)
        await client.positions()
    before = [use.used for use in still.uses()]
    for _ in range(1000):
        with pytest.raises(VenueUnavailable):
            await client.positions()
    assert [use.used for use in still.uses()] == before
    await client.close()
