"""Every hook point of the paper venue, in three dialects: what our adapters make of each fault."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from markets.venues.errors import (
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRejected,
)
from markets.venues.paper.faults import Channel, Fault, FaultError, FaultKind, Topic
from markets.venues.paper.model import Order
from markets.venues.paper.rules import Reason
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.types import AccountUpdate, CancelOrder, OrderStatus
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import Kit
from tests.contracts.orders import accepted, order, resting, settled

ORDER_ID = {"binance": b'"orderId":', "aster": b'"orderId":', "pacifica": b'"order_id":'}
QUOTES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "binance": ("/public/ws/btcusdt@bookTicker", None),
    "aster": ("/ws/btcusdt@bookTicker", None),
    "pacifica": ("/ws", {"method": "subscribe", "params": {"source": "bbo", "symbol": "BTC"}}),
}


def placed(venue: PaperVenue) -> Order:
    [only] = venue.engine.accounts["alpha"].orders.values()
    return only


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came about")


# Replies


async def test_a_reply_cut_in_its_middle_is_unknown_and_the_order_is_live(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    venue.faults.add(Fault(FaultKind.MID_REPLY, topic=Topic.PLACE, size=12))
    with pytest.raises(OutcomeUnknown):
        await client.submit(resting(kit))
    assert (len(accepted(venue)), placed(venue).status) == (1, OrderStatus.OPEN)


@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.RESET])
async def test_an_answer_that_never_comes_leaves_the_order_unknown(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, kind: FaultKind, accepts: bool
) -> None:
    venue.faults.add(Fault(kind, topic=Topic.PLACE, accepts=accepts))
    sending = asyncio.create_task(client.submit(resting(kit)))
    if kind is FaultKind.HANG:
        await until(lambda: bool(venue.ledger.since(kind="fault")))
        await asyncio.wait({sending}, timeout=0.2)
        assert not sending.done()
        sending.cancel()
        await asyncio.wait({sending})
    else:
        with pytest.raises(OutcomeUnknown):
            await sending
    assert len(venue.engine.accounts["alpha"].orders) == accepts


async def test_a_poisoned_reply_is_unknown(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    find = ORDER_ID[kit.dialect]
    venue.faults.add(Fault(FaultKind.POISON, topic=Topic.PLACE, find=find, put=find + b"-"))
    with pytest.raises(OutcomeUnknown):
        await client.submit(resting(kit))
    assert len(accepted(venue)) == 1


@pytest.mark.parametrize("reason", [Reason.INSUFFICIENT_MARGIN, Reason.SYMBOL_CLOSED])
async def test_a_refusal_speaks_the_venues_words_and_accepts_nothing(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, reason: Reason
) -> None:
    venue.faults.add(Fault(FaultKind.REFUSE, topic=Topic.PLACE, reason=reason))
    with pytest.raises(VenueRejected):
        await client.submit(resting(kit))
    assert accepted(venue) == []
    await client.submit(resting(kit))
    assert len(accepted(venue)) == 1


@pytest.mark.parametrize("status", [429, 418])
async def test_a_ban_stops_everything_and_says_how_long(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, status: int
) -> None:
    venue.faults.add(Fault(FaultKind.BAN, status=status, seconds=Decimal(7)))
    with pytest.raises(RateLimited) as first:
        await client.submit(resting(kit))
    assert 6 <= (first.value.retry_after or 0) <= 7
    assert accepted(venue) == []
    assert venue.faults.clear() == 1
    venue.faults.add(Fault(FaultKind.BAN, status=status, seconds=Decimal(100), retry_after=False))
    async with aiohttp.ClientSession() as http, http.get(venue.rest_url + "/any") as answer:
        assert (answer.status, "Retry-After" in answer.headers) == (status, False)


async def test_in_maintenance_reads_are_served_and_writes_refused(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    venue.faults.add(Fault(FaultKind.MAINTENANCE))
    with pytest.raises(VenueError):
        await client.submit(resting(kit))
    assert [item.size for item in await client.positions()] == [Decimal("0.5")]
    assert accepted(venue) == []


async def test_a_storm_hits_by_chance_and_the_same_way_again(kit: Kit) -> None:
    async def answers() -> list[int]:
        async with PaperVenue.start(kit.config(seed=4)) as venue, aiohttp.ClientSession() as http:
            venue.faults.add(
                Fault(FaultKind.ANSWER, status=502, accepts=False, probability=Decimal("0.5"))
            )
            return [(await http.get(venue.rest_url + "/any")).status for _ in range(30)]

    first = await answers()
    assert set(first) == {404, 502}
    assert await answers() == first


async def test_a_listen_key_is_not_prolonged_where_there_is_one(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    await client.open_private_stream()
    fault = Fault(FaultKind.KEEPALIVE_FAILS)
    if kit.dialect == "pacifica":
        with pytest.raises(FaultError):
            venue.faults.add(fault)
        return
    venue.faults.add(fault)
    with pytest.raises(VenueRejected):
        await client.keep_private_stream()
    await client.keep_private_stream()


# Fills that cross the answer


async def test_a_fill_before_the_acknowledgement_is_in_the_ledger_before_the_answer(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    venue.faults.add(Fault(FaultKind.FILL_BEFORE_ACK, factor=Decimal("0.5"), delay_ms=30))
    command = resting(kit)
    report = await client.submit(command)
    assert report.filled == 0
    assert (placed(venue).status, placed(venue).filled) == (
        OrderStatus.PARTIALLY_FILLED,
        command.amount / 2,
    )
    [fill] = venue.ledger.since(kind="fill")
    request = venue.ledger.since(kind="request")[-1]
    assert fill["seq"] < request["seq"]
    assert request["answeredNs"] - fill["atNs"] >= 30_000_000
    assert request["clientOrderId"] == fill["clientOrderId"] == placed(venue).client_id


async def test_a_fill_after_an_acknowledged_cancel_makes_it_filled(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = resting(kit)
    await client.submit(command)
    venue.faults.add(Fault(FaultKind.FILL_AFTER_CANCEL_ACK, delay_ms=200))
    cancelled = await client.cancel(CancelOrder(kit.symbol, command.client_order_id))
    assert cancelled.status is OrderStatus.CANCELLED
    await until(lambda: placed(venue).filled == command.amount)
    assert (await client.order(kit.symbol, command.client_order_id)).status is OrderStatus.FILLED
    states = [entry["status"] for entry in venue.ledger.since(kind="order")]
    assert states[-2:] == ["cancelled", "filled"]


async def test_a_partial_fill_after_a_cancel_leaves_it_cancelled(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = resting(kit)
    await client.submit(command)
    venue.faults.add(Fault(FaultKind.FILL_AFTER_CANCEL_ACK, factor=Decimal("0.3")))
    await client.cancel(CancelOrder(kit.symbol, command.client_order_id))
    await until(lambda: placed(venue).filled == Decimal("0.003"))
    assert placed(venue).status is OrderStatus.CANCELLED


async def test_a_cancel_of_an_order_about_to_fill_is_answered_unknown_order(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = resting(kit)
    await client.submit(command)
    venue.faults.add(Fault(FaultKind.FILL_AFTER_CANCEL_ACK, accepts=False, delay_ms=100))
    with pytest.raises(OrderNotFound):
        await client.cancel(CancelOrder(kit.symbol, command.client_order_id))
    assert (await settled(client, command)).status is OrderStatus.FILLED


# Reads that lie


async def test_lagging_reads_show_the_past_of_everything_and_then_the_truth(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    number = venue.faults.add(Fault(FaultKind.QUERY_LAG, lag_seconds=Decimal(30)))
    command = order(kit)
    await client.submit(command)
    with pytest.raises(OrderNotFound):
        await client.order(kit.symbol, command.client_order_id)
    assert [item.size for item in await client.positions()] == [Decimal("0.5")]
    venue.faults.clear(number)
    assert [item.size for item in await client.positions()] == [Decimal("0.51")]
    assert (await settled(client, command)).status is OrderStatus.FILLED


async def test_a_short_lag_ends_by_itself(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    venue.faults.add(Fault(FaultKind.QUERY_LAG, lag_seconds=Decimal("0.4")))
    await client.submit(order(kit))
    assert [item.size for item in await client.positions()] == [Decimal("0.5")]
    for _ in range(200):
        if [item.size for item in await client.positions()] == [Decimal("0.51")]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the read never caught up")


async def test_not_found_is_a_lie_so_many_times(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = resting(kit)
    await client.submit(command)
    venue.faults.add(Fault(FaultKind.QUERY_LIES_NOT_FOUND, times=2))
    lies = 0
    for _ in range(5):
        try:
            found = await client.order(kit.symbol, command.client_order_id)
        except OrderNotFound:
            lies += 1
        else:
            break
    assert found.status is OrderStatus.OPEN
    assert 1 <= lies <= 2
    assert [entry["fault"] for entry in venue.ledger.since(kind="fault")] == [
        "query_lies_not_found"
    ] * 2


@pytest.mark.parametrize(("factor", "shown"), [("2", ["1.0"]), ("-1", ["-0.5"]), ("0", [])])
async def test_positions_lie_while_the_truth_stays(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, factor: str, shown: list[str]
) -> None:
    venue.faults.add(Fault(FaultKind.POSITION_LIES, symbol="BTC", factor=Decimal(factor)))
    found = [item.size for item in await client.positions() if item.size]
    assert found == [Decimal(item) for item in shown]
    assert venue.engine.accounts["alpha"].size(kit.symbol) == Decimal("0.5")


@pytest.mark.parametrize(("factor", "shown"), [("2", "1.2"), ("-1", "-0.6"), ("0", "0")])
async def test_positions_lie_on_the_private_stream_too(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, factor: str, shown: str
) -> None:
    session, address = REGISTRY.private_session(kit.dialect), await client.open_private_stream()
    sizes: list[Decimal] = []
    async with aiohttp.ClientSession() as http, http.ws_connect(address.url) as socket:
        for frame in address.frames:
            await socket.send_str(frame)
        await until(lambda: any(item.streams for item in venue.core.hub.clients.values()))
        venue.faults.add(Fault(FaultKind.POSITION_LIES, symbol="BTC", factor=Decimal(factor)))
        venue.core.move_position("alpha", kit.symbol, Decimal("0.1"), source="web")
        events: list[Any] = []
        while not sizes:
            message = await socket.receive(timeout=10)
            events += session.receive(message.data)
            if kit.dialect == "pacifica" and factor == "0":  # a flat position is an empty list
                sizes += [Decimal(0)] * (b'"account_positions","data":[]' in _raw(message))
            sizes += [
                position.size
                for event in events
                if isinstance(event, AccountUpdate)
                for position in event.positions
                if position.size != Decimal("0.5")  # what the channel began with
            ]
    assert sizes[0] == Decimal(shown)
    assert venue.engine.accounts["alpha"].size(kit.symbol) == Decimal("0.6")


def _raw(message: aiohttp.WSMessage) -> bytes:
    return str(message.data).encode().replace(b" ", b"")


@pytest.mark.parametrize("topic", [Topic.PLACE, Topic.POSITIONS])
async def test_latency_delays_what_it_befalls_and_nothing_else(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, topic: Topic
) -> None:
    """By the venue's own clock and the order of answers; a loaded machine only adds to it."""
    venue.faults.add(Fault(FaultKind.LATENCY, topic=topic, delay_ms=400))
    slow, quick = client.submit(resting(kit)), client.positions()
    if topic is Topic.POSITIONS:
        slow, quick = quick, slow  # type: ignore[assignment]
    ended: list[str] = []
    before = venue.core.now_ns()

    async def timed(name: str, work: Awaitable[Any]) -> float:
        began = time.monotonic()
        await work
        ended.append(name)
        return time.monotonic() - began

    took, _ = await asyncio.gather(timed("slow", slow), timed("quick", quick))
    assert ended == ["quick", "slow"]
    assert took >= 0.4
    [entry] = [e for e in venue.ledger.since(kind="request") if _is_about(e, topic)]
    assert entry["atNs"] - before >= 200_000_000  # half of it before the act


def _is_about(entry: Any, topic: Topic) -> bool:
    is_write = entry["method"] == "POST"
    return is_write if topic is Topic.PLACE else "position" in entry["path"].lower()


# Streams


@pytest.fixture
async def quotes(kit: Kit, venue: PaperVenue) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket on the market's best bid and ask; the first frame is still to come."""
    path, frame = QUOTES[kit.dialect]
    async with aiohttp.ClientSession() as http, http.ws_connect(venue.ws_url + path) as socket:
        if frame is not None:
            await socket.send_json(frame)
            assert (await socket.receive_json(timeout=10))["channel"] == "subscribe"
        await until(lambda: bool(venue.core.hub._by_stream))
        yield socket


Bids = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def bids(kit: Kit, venue: PaperVenue, quotes: aiohttp.ClientWebSocketResponse) -> Bids:
    """Move the price to each of `prices`, and return the bids of the next `count` frames."""

    async def moved(*prices: int, count: int) -> list[str]:
        for price in prices:
            venue.core.jump(kit.symbol, Decimal(price))
        frames = [await quotes.receive_json(timeout=10) for _ in range(count)]
        rows = [frame["data"] if kit.dialect == "pacifica" else frame for frame in frames]
        return [str(int(Decimal(row["b"]))) for row in rows]

    return moved


async def test_frames_come_twice_late_never_or_in_the_wrong_order(
    venue: PaperVenue, bids: Bids
) -> None:
    venue.faults.add(Fault(FaultKind.WS_DUP))
    assert await bids(60001, 60002, count=3) == ["60001", "60001", "60002"]
    venue.faults.add(Fault(FaultKind.WS_REORDER))
    assert await bids(60003, 60004, count=2) == ["60004", "60003"]
    venue.faults.add(Fault(FaultKind.WS_GAP, times=2))
    assert await bids(60005, 60006, 60007, count=1) == ["60007"]
    venue.faults.add(Fault(FaultKind.WS_DELAY, delay_ms=100))
    assert await bids(60008, 60009, count=2) == ["60009", "60008"]


async def test_a_muted_stream_stays_open_and_comes_back(
    kit: Kit, venue: PaperVenue, bids: Bids, quotes: aiohttp.ClientWebSocketResponse
) -> None:
    assert await bids(60001, count=1) == ["60001"]
    number = venue.faults.add(Fault(FaultKind.WS_MUTE, channel=Channel.PRIVATE))
    assert await bids(60002, count=1) == ["60002"]
    venue.faults.clear(number)
    number = venue.faults.add(Fault(FaultKind.WS_MUTE, channel=Channel.PUBLIC, symbol="BTC"))
    assert await bids(60003, 60004, count=0) == []
    if kit.dialect == "pacifica":
        await quotes.send_json({"method": "ping"})
        assert await quotes.receive_json(timeout=10) == {"channel": "pong"}
    assert not quotes.closed
    venue.faults.clear(number)
    assert await bids(60005, count=1) == ["60005"]


async def test_sockets_are_closed_with_a_code_cut_or_refused(
    kit: Kit, venue: PaperVenue, quotes: aiohttp.ClientWebSocketResponse
) -> None:
    venue.faults.add(Fault(FaultKind.WS_DROP, code=1008))
    ended = await quotes.receive(timeout=10)
    assert (ended.type, quotes.close_code) == (aiohttp.WSMsgType.CLOSE, 1008)
    venue.faults.add(Fault(FaultKind.WS_DROP, seconds=Decimal(60)))
    url = venue.ws_url + QUOTES[kit.dialect][0]
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(url) as cut:
            assert (await cut.receive(timeout=10)).type is not aiohttp.WSMsgType.TEXT
        venue.faults.clear()
        venue.faults.add(Fault(FaultKind.WS_REFUSE, status=503))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url)
        assert refused.value.status == 503
    kinds = [entry["kind"] for entry in venue.ledger.since()]
    assert kinds.count("connect") == kinds.count("disconnect") == 2


# Funding, clocks, listings, what the venue does by itself


@pytest.mark.parametrize(
    ("fault", "booked"),
    [
        (None, [-1]),
        (Fault(FaultKind.FUNDING_TWICE), [-1, -1]),
        (Fault(FaultKind.FUNDING_FLIP), [1]),
        (Fault(FaultKind.FUNDING_MISSED), []),
    ],
)
def test_funding_is_booked_as_the_fault_says(
    kit: Kit, fault: Fault | None, booked: list[int]
) -> None:
    venue = PaperVenue(kit.config())
    if fault is not None:
        venue.faults.add(fault)
    venue.core.funding.settle(kit.symbol, next_ns=1)
    due = Decimal("0.5") * venue.engine.markets[kit.symbol].mark * Decimal("0.0001")
    income = venue.engine.accounts["alpha"].income
    assert [item.amount for item in income] == [sign * due for sign in booked]


async def test_late_funding_comes_with_the_time_of_its_settlement(
    kit: Kit, venue: PaperVenue
) -> None:
    venue.faults.add(Fault(FaultKind.FUNDING_LATE, delay_ms=1))
    before = venue.core.now_ns()
    venue.core.funding.settle(kit.symbol, next_ns=before + 10**15)
    after = venue.core.now_ns()
    income = venue.engine.accounts["alpha"].income
    assert income == []
    await until(lambda: bool(income))
    assert before <= income[0].at_ns <= after


async def test_the_clock_is_off_in_the_date_too_until_cleared(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    async def ahead() -> float:
        async with aiohttp.ClientSession() as http, http.get(venue.rest_url + "/x") as answer:
            at = parsedate_to_datetime(answer.headers["Date"]).timestamp()
            return at - venue.core.now_ns() / 10**9 + venue.core.clock_offset_ms / 1000

    number = venue.faults.add(Fault(FaultKind.CLOCK_OFFSET, offset_ms=-60_000))
    assert -70 < await ahead() < -59
    venue.faults.clear(number)
    assert -10 < await ahead() < 1


async def test_a_delisted_symbol_only_lets_positions_go(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    number = venue.faults.add(Fault(FaultKind.DELISTED, symbol="BTC"))
    with pytest.raises(VenueRejected):
        await client.submit(resting(kit))
    assert accepted(venue) == []
    venue.faults.clear(number)
    await client.submit(resting(kit))
    assert len(accepted(venue)) == 1


async def test_an_unlisted_symbol_is_gone_until_it_is_cleared(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, market: MarketClient
) -> None:
    async def listed() -> set[str]:
        return {item.venue_symbol for item in await market.instruments()}

    everything = await listed()
    number = venue.faults.add(Fault(FaultKind.UNLISTED, symbol="BTC"))
    assert await listed() == everything - {kit.symbol}
    with pytest.raises(VenueRejected):
        await client.submit(resting(kit))
    assert accepted(venue) == []
    venue.faults.clear(number)
    assert await listed() == everything
    await client.submit(resting(kit))


async def test_a_changed_tick_is_listed_and_held_to_and_goes_back(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    async def tick() -> Decimal:
        [listed] = [i for i in await market.instruments() if i.venue_symbol == kit.symbol]
        return listed.tick

    old = venue.engine.markets[kit.symbol].instrument.tick
    number = venue.faults.add(Fault(FaultKind.INSTRUMENT, symbol="BTC", tick=Decimal("0.5")))
    assert await tick() == Decimal("0.5")
    quote = venue.core.jump(kit.symbol, Decimal("61234.1"))
    assert (quote.bid, quote.ask) == (Decimal("61234.0"), Decimal("61234.5"))
    venue.faults.clear(number)
    assert await tick() == old


@pytest.mark.parametrize(
    ("kind", "factor", "left", "prefix"),
    [
        (FaultKind.LIQUIDATION, "1", "0", "autoclose-"),
        (FaultKind.ADL, "0.4", "0.300", "adl_autoclose-"),
    ],
)
async def test_the_venue_closes_a_position_by_itself(
    kit: Kit,
    venue: PaperVenue,
    client: ExecutionClient,
    kind: FaultKind,
    factor: str,
    left: str,
    prefix: str,
) -> None:
    venue.faults.add(Fault(kind, account="alpha", symbol="BTC", factor=Decimal(factor)))
    sizes = [item.size for item in await client.positions() if item.size]
    assert sizes == ([Decimal(left)] if Decimal(left) else [])
    [fill] = venue.ledger.since(kind="fill")
    assert (fill["external"], fill["clientOrderId"].startswith(prefix)) == (True, True)
    assert venue.faults.standing() == ()


async def test_a_transfer_moves_the_wallet_and_is_in_the_ledger(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    venue.faults.add(Fault(FaultKind.TRANSFER, account="alpha", amount=Decimal(-2500)))
    assert venue.engine.accounts["alpha"].wallet == 97_500
    [income] = venue.ledger.since(kind="income")
    assert (income["type"], income["amount"], income["account"]) == ("TRANSFER", "-2500", "alpha")


async def test_hedge_mode_refuses_one_way_orders_where_there_is_such_a_mode(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    flip = Fault(FaultKind.HEDGE_MODE, account="alpha")
    if kit.dialect == "pacifica":
        with pytest.raises(FaultError):
            venue.faults.add(flip)
        return
    number = venue.faults.add(flip)
    with pytest.raises(VenueRejected):
        await client.submit(resting(kit))
    venue.faults.clear(number)
    await client.submit(resting(kit))
    assert len(accepted(venue)) == 1


async def test_faults_are_told_of_in_the_ledger_with_the_venues_clock(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    before = venue.core.now_ns()
    venue.faults.add(Fault(FaultKind.RESET, topic=Topic.PLACE, account="alpha", accepts=False))
    with pytest.raises(OutcomeUnknown):
        await client.submit(resting(kit))
    entries = venue.ledger.since()
    told = [entry for entry in entries if entry["kind"].startswith("fault")]
    assert [(e["kind"], e["faultId"], e["fault"]) for e in told][:2] == [
        ("fault-set", 1, "reset"),
        ("fault", 1, "reset"),
    ]
    assert before <= told[0]["atNs"] <= told[1]["atNs"] <= venue.core.now_ns()
    [lost] = [e for e in entries if e.get("fault") == "reset" and e["kind"] == "request"]
    assert (lost["accepted"], lost["status"], lost["account"]) == (False, 0, "alpha")
    assert lost["clientOrderId"]
