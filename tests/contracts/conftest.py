"""Every contract runs against every dialect's paper venue, over real sockets."""

from collections.abc import AsyncIterator

import pytest

from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.registry import VenueRegistry
from tests.contracts.kits import KITS, Kit

REGISTRY = VenueRegistry(allow_loopback=True)


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()


@pytest.fixture
async def venue(kit: Kit) -> AsyncIterator[PaperVenue]:
    async with PaperVenue.start(kit.config()) as running:
        yield running


@pytest.fixture
async def client(kit: Kit, venue: PaperVenue) -> AsyncIterator[ExecutionClient]:
    made = REGISTRY.execution_client(kit.dialect, venue.endpoint, kit.credentials)
    yield made
    await made.close()


@pytest.fixture
async def market(kit: Kit, venue: PaperVenue) -> AsyncIterator[MarketClient]:
    made = REGISTRY.market_client(kit.dialect, venue.endpoint)
    yield made
    await made.close()
