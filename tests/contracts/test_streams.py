"""C30-C34: streams say what happens as it happens, and never raise."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient, MarketSession, PrivateSession
from markets.venues.types import (
    AccountUpdate,
    BookTop,
    FillReport,
    MarkPrice,
    OrderStatus,
    OrderUpdate,
    Quarantined,
    Side,
)
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import Kit, mark
from tests.contracts.orders import order, settled


async def heard(
    socket: aiohttp.ClientWebSocketResponse,
    receive: Callable[[str | bytes], Sequence[Any]],
    enough: Callable[[list[Any]], bool],
) -> list[Any]:
    events: list[Any] = []
    async with asyncio.timeout(5):
        while not enough(events):
            events += receive((await socket.receive_str()).encode())
    return events


def fills_in(events: list[Any]) -> list[FillReport]:
    """Fills come with the order they moved, or by themselves."""
    told = [e.fill for e in events if isinstance(e, OrderUpdate) and e.fill]
    return told + [e for e in events if isinstance(e, FillReport)]


async def test_c30_quotes_arrive_as_the_venue_has_them(kit: Kit, venue: PaperVenue) -> None:
    session = REGISTRY.market_session(kit.dialect, venue.endpoint, [kit.symbol])
    async with aiohttp.ClientSession() as http, http.ws_connect(session.url()) as socket:
        for frame in session.opening_frames():
            await socket.send_str(frame)
        await asyncio.sleep(0.1)
        quote = venue.core.jump(kit.symbol, Decimal(62_000))
        [top] = await heard(socket, session.receive, bool)
    assert isinstance(top, BookTop)
    assert (top.venue_symbol, top.bid, top.ask) == (kit.symbol, quote.bid, quote.ask)
    assert (top.bid_size, top.ask_size) == (quote.bid_size, quote.ask_size)
    assert abs(top.venue_ms - venue.core.now_ms()) < 2000


async def test_c31_marks_arrive_with_the_funding_rate(kit: Kit, venue: PaperVenue) -> None:
    session = REGISTRY.mark_session(kit.dialect, venue.endpoint, [kit.symbol])
    async with aiohttp.ClientSession() as http, http.ws_connect(session.url()) as socket:
        for frame in session.opening_frames():
            await socket.send_str(frame)
        event = (await heard(socket, session.receive, bool))[0]
    assert isinstance(event, MarkPrice)
    assert (event.venue_symbol, event.mark) == (kit.symbol, mark(venue, kit))
    assert event.funding_rate == Decimal("0.0001")


async def test_c32_the_private_stream_tells_orders_fills_and_positions(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    session = REGISTRY.private_session(kit.dialect)
    address = await client.open_private_stream()
    await client.keep_private_stream()
    command = order(kit, side=Side.SELL, amount="0.2")

    def enough(events: list[Any]) -> bool:
        done = [e for e in events if isinstance(e, OrderUpdate) and e.order.status.is_final]
        moved = [e for e in events if isinstance(e, AccountUpdate) and e.positions]
        filled = sum(item.amount for item in fills_in(events))
        return bool(done and moved) and filled >= command.amount

    async with aiohttp.ClientSession() as http, http.ws_connect(address.url) as socket:
        for frame in address.frames:
            await socket.send_str(frame)
        await client.confirm_private_stream(address)
        await asyncio.sleep(0.1)
        await client.submit(command)
        events = await heard(socket, session.receive, enough)
    assert not [event for event in events if isinstance(event, Quarantined)]
    updates = [event for event in events if isinstance(event, OrderUpdate)]
    assert {item.order.client_order_id for item in updates} == {command.client_order_id}
    assert updates[-1].order.status is OrderStatus.FILLED
    fills = {item.trade_id: item for item in fills_in(events)}
    read = await client.fills([kit.symbol], since=min(item.at for item in fills.values()))
    assert {item.trade_id: (item.amount, item.price, item.fee) for item in read} == {
        key: (item.amount, item.price, item.fee) for key, item in fills.items()
    }
    last = [e for e in events if isinstance(e, AccountUpdate) and e.positions][-1]
    [position] = last.positions
    assert (position.venue_symbol, position.size) == (kit.symbol, Decimal("0.3"))
    assert (await settled(client, command)).filled == command.amount


JUNK = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"17",
    b'"x"',
    b"\xff\xfe",
    b"[" * 5000,
    b'{"e":"ACCOUNT_UPDATE"}',
]


@pytest.mark.parametrize("frame", JUNK)
async def test_c33_no_frame_makes_a_session_raise(kit: Kit, frame: bytes) -> None:
    sessions: list[MarketSession | PrivateSession] = [
        REGISTRY.private_session(kit.dialect),
        REGISTRY.market_session(kit.dialect, kit.endpoint, [kit.symbol]),
        REGISTRY.mark_session(kit.dialect, kit.endpoint, [kit.symbol]),
    ]
    for session in sessions:
        events = session.receive(frame)
        assert all(isinstance(event, Quarantined) for event in events)
