"""Margin terms, position mode and dead-man timers of ccxt venues: only what a venue really has."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from markets.venues.errors import NotOffered, NotSent, OutcomeUnknown, VenueUnavailable
from markets.venues.ports import ExecutionClient
from markets.venues.registry import capabilities
from markets.venues.types import Endpoint, MarginMode, PositionMode
from tests.markets.venues.ccxt_stubs import STUBS, StubVenue

MINUTE = timedelta(minutes=1)
OFF = timedelta(0)
each_venue = pytest.mark.parametrize("venue", STUBS, indirect=True)


def only(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("venue", [name], indirect=True)


@pytest.fixture
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[StubVenue]:
    async with STUBS[request.param]().serve() as running:
        yield running


@pytest.fixture
async def client(venue: StubVenue) -> AsyncIterator[ExecutionClient]:
    async with venue.client() as made:
        yield made


def sent(venue: StubVenue, path: str) -> list[Any]:
    return [item.fields for item in venue.requests if item.path == path]


@each_venue
async def test_what_is_read_or_set_is_what_the_capabilities_say(
    venue: StubVenue, client: ExecutionClient
) -> None:
    able = capabilities("generic", venue.endpoint)
    wanted: list[tuple[bool, Any, Any]] = [
        (able.margin_terms, VenueUnavailable, lambda: client.margin_terms(venue.symbol)),
        (able.position_mode, VenueUnavailable, lambda: client.position_mode()),
        (able.set_one_way, NotOffered, lambda: client.set_one_way()),
        (
            able.set_margin_mode,
            NotOffered,
            lambda: client.set_margin_mode(venue.symbol, MarginMode.CROSS),
        ),
        (
            able.dead_man_timer,
            NotOffered,
            lambda: client.set_dead_man_timer(venue.symbol, MINUTE),
        ),
    ]
    for is_able, error, call in wanted:
        if is_able:
            await call()
        else:
            with pytest.raises(error):
                await call()


@only("bybit")
async def test_bybit_tells_leverage_and_the_accounts_margin_mode(
    venue: StubVenue, client: ExecutionClient
) -> None:
    terms = await client.margin_terms(venue.symbol)
    assert (terms.leverage, terms.mode) == (Decimal(10), MarginMode.CROSS)


@only("bybit")
async def test_being_so_already_is_a_success(venue: StubVenue, client: ExecutionClient) -> None:
    venue.answers["unchanged"] = True
    await client.set_one_way()
    await client.set_leverage(venue.symbol, Decimal(10))
    assert len(sent(venue, "/v5/position/switch-mode")) == 1


@only("bybit")
async def test_a_timer_that_needs_a_socket_we_do_not_hold_is_not_offered(
    venue: StubVenue, client: ExecutionClient
) -> None:
    with pytest.raises(NotOffered):
        await client.set_dead_man_timer(venue.symbol, MINUTE)
    assert sent(venue, "/v5/order/disconnected-cancel-all") == []


@only("okx")
async def test_okx_tells_leverage_and_position_mode(
    venue: StubVenue, client: ExecutionClient
) -> None:
    terms = await client.margin_terms(venue.symbol)
    assert (terms.leverage, terms.mode) == (Decimal(5), MarginMode.CROSS)
    assert await client.position_mode() is PositionMode.ONE_WAY
    venue.answers["posMode"] = "long_short_mode"
    assert await client.position_mode() is PositionMode.HEDGE
    venue.answers["levers"] = {"long": "5", "short": "7"}
    with pytest.raises(VenueUnavailable, match="hedge-mode"):
        await client.margin_terms(venue.symbol)


@only("okx")
async def test_okx_timer_is_armed_and_disarmed_with_proof(
    venue: StubVenue, client: ExecutionClient
) -> None:
    await client.set_dead_man_timer(venue.symbol, MINUTE)
    venue.answers["trigger"] = "0"
    with pytest.raises(OutcomeUnknown):
        await client.set_dead_man_timer(venue.symbol, MINUTE)
    await client.set_dead_man_timer(venue.symbol, OFF)
    venue.answers["trigger"] = "1795000000000"
    with pytest.raises(OutcomeUnknown):
        await client.set_dead_man_timer(venue.symbol, OFF)
    asked = [fields["timeOut"] for fields in sent(venue, "/api/v5/trade/cancel-all-after")]
    assert asked == [60, 60, 0, 0]


@only("okx")
async def test_a_fraction_of_a_second_is_never_cut_to_a_disarmed_timer(
    venue: StubVenue, client: ExecutionClient
) -> None:
    with pytest.raises(NotSent):
        await client.set_dead_man_timer(venue.symbol, timedelta(milliseconds=500))
    assert sent(venue, "/api/v5/trade/cancel-all-after") == []


@only("hyperliquid")
async def test_hyperliquid_timer_is_a_time_and_taken_back_without_one(
    venue: StubVenue, client: ExecutionClient
) -> None:
    await client.set_dead_man_timer(venue.symbol, MINUTE)
    await client.set_dead_man_timer(venue.symbol, OFF)
    armed, disarmed = sent(venue, "/exchange")
    assert armed["action"]["type"] == "scheduleCancel"
    assert armed["action"]["time"] == armed["nonce"] + 60_000
    assert disarmed["action"] == {"type": "scheduleCancel"}
    assert disarmed["nonce"] > armed["nonce"]


@pytest.mark.parametrize("name", ["gate", "bitget", "kucoinfutures", "krakenfutures", "mexc"])
def test_of_a_venue_we_know_little_of_no_timer_is_promised(name: str) -> None:
    assert not capabilities("generic", Endpoint("", "", ccxt_id=name)).dead_man_timer
