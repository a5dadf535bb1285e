"""C40-C46: leverage, margin and position mode are read back; the venue's own timer cancels."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from markets.venues.errors import NotOffered, NotSent, OutcomeUnknown, VenueRejected
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient
from markets.venues.registry import capabilities
from markets.venues.types import MarginMode, PositionMode
from tests.contracts.kits import Kit
from tests.contracts.orders import resting

OFF = timedelta(0)


def other(kit: Kit) -> str:
    """The contract without a position."""
    return kit.symbol.replace("BTC", "ETH")


def timers(venue: PaperVenue) -> list[tuple[str, str, int]]:
    return [(e["symbol"], e["event"], e["afterMs"]) for e in venue.ledger.since(kind="timer")]


def has_timer(kit: Kit) -> bool:
    return capabilities(kit.dialect, kit.endpoint).dead_man_timer


async def test_c40_leverage_and_margin_mode_are_read_back(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    account = venue.engine.accounts["alpha"]
    for symbol in venue.engine.markets:
        terms = await client.margin_terms(symbol)
        assert (terms.venue_symbol, terms.leverage) == (symbol, account.leverage_of(symbol))
        assert terms.mode is MarginMode.CROSS
    await client.set_leverage(kit.symbol, Decimal(7))
    assert (await client.margin_terms(kit.symbol)).leverage == 7
    most = venue.engine.markets[kit.symbol].instrument.max_leverage
    await client.set_leverage(kit.symbol, Decimal(most))
    assert (await client.margin_terms(kit.symbol)).leverage == most


async def test_c41_margin_mode_is_set_and_being_so_already_is_a_success(
    kit: Kit, client: ExecutionClient
) -> None:
    symbol = other(kit)
    for mode in (MarginMode.CROSS, MarginMode.ISOLATED, MarginMode.ISOLATED, MarginMode.CROSS):
        await client.set_margin_mode(symbol, mode)
        assert (await client.margin_terms(symbol)).mode is mode


async def test_c42_margin_mode_of_a_contract_in_use_is_refused_and_stays(
    kit: Kit, client: ExecutionClient
) -> None:
    with pytest.raises(VenueRejected) as refused:
        await client.set_margin_mode(kit.symbol, MarginMode.ISOLATED)
    assert refused.value.venue_code in ("-4048", "12")
    assert (await client.margin_terms(kit.symbol)).mode is MarginMode.CROSS


async def test_c43_the_account_is_one_way_and_may_be_told_so_again(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    await client.set_one_way()
    assert await client.position_mode() is PositionMode.ONE_WAY


async def test_c44_the_timer_cancels_one_contracts_orders_when_we_fall_silent(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    if not has_timer(kit):
        with pytest.raises(NotOffered):
            await client.set_dead_man_timer(kit.symbol, timedelta(seconds=60))
        assert venue.ledger.since(kind="request") == []
        return
    kept = resting(kit, symbol=other(kit), price="2600", amount="0.1")
    for command in (resting(kit), kept):
        await client.submit(command)
    await client.set_dead_man_timer(kit.symbol, timedelta(milliseconds=100))
    for _ in range(200):
        if len(await client.open_orders()) == 1:
            break
        await asyncio.sleep(0.1)
    assert [item.client_order_id for item in await client.open_orders()] == [kept.client_order_id]
    assert timers(venue) == [(kit.symbol, "armed", 100), (kit.symbol, "fired", 0)]


async def test_c45_the_timer_is_put_off_and_disarmed(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    if not has_timer(kit):
        with pytest.raises(NotOffered):
            await client.set_dead_man_timer(kit.symbol, OFF)
        return
    await client.submit(resting(kit))
    await client.set_dead_man_timer(kit.symbol, timedelta(milliseconds=1))
    await client.set_dead_man_timer(kit.symbol, timedelta(minutes=2))
    venue.core.pass_second(1)
    assert len(await client.open_orders()) == 1
    await client.set_dead_man_timer(kit.symbol, timedelta(milliseconds=1))
    await client.set_dead_man_timer(kit.symbol, OFF)
    venue.core.pass_second(2)
    assert len(await client.open_orders()) == 1
    for no_timer in (timedelta(seconds=-1), timedelta(microseconds=500)):
        with pytest.raises(NotSent):
            await client.set_dead_man_timer(kit.symbol, no_timer)
    events = [event for _, event, _ in timers(venue)]
    assert events == ["armed", "armed", "armed", "disarmed"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"symbol":"LTCUSDT","countdownTime":"60000"}'])
async def test_c46_a_setting_that_is_not_confirmed_is_unknown(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, body: bytes
) -> None:
    await client.positions()
    acts = [
        client.set_leverage(kit.symbol, Decimal(5)),
        client.set_margin_mode(other(kit), MarginMode.ISOLATED),
    ]
    if has_timer(kit):
        acts.append(client.set_dead_man_timer(kit.symbol, timedelta(minutes=1)))
    for act in acts:
        venue.faults.add(Fault(FaultKind.ANSWER, "POST", body=body))
        with pytest.raises(OutcomeUnknown):
            await act
