"""C10-C24: orders go out as our own strings, once, and only evidence is believed."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from markets.venues.errors import (
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    ProxyRefused,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
)
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.ratelimit.limiter import Gate, Limiter, Permit
from markets.venues.ratelimit.terms import Cost
from markets.venues.types import CancelOrder, OrderStatus, OrderType, Side
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import Kit, mark
from tests.contracts.orders import accepted, order, resting, settled


def request_of(venue: PaperVenue, kit: Kit) -> dict[str, Any]:
    [entry] = [
        e
        for e in venue.ledger.since(kind="request")
        if e["path"].startswith(kit.order_path) and e["method"] == "POST"
    ]
    params: dict[str, Any] = entry["params"]
    return params


async def test_c10_a_market_order_fills_and_its_fills_are_found_once(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = order(kit, side=Side.SELL, amount="0.2")
    report = await client.submit(command)
    assert report.client_order_id == command.client_order_id
    assert report.venue_order_id
    final = await settled(client, command)
    assert (final.status, final.filled) == (OrderStatus.FILLED, Decimal("0.2"))
    fills = await client.fills([kit.symbol], since=report.at - timedelta(seconds=5))
    assert sum(item.amount for item in fills) == Decimal("0.2")
    assert len({item.trade_id for item in fills}) == len(fills)
    assert {(item.venue_order_id, item.side, item.is_maker) for item in fills} == {
        (report.venue_order_id, Side.SELL, False)
    }
    assert all(item.fee > 0 for item in fills)
    assert await client.fills([kit.symbol], since=fills[-1].at + timedelta(seconds=1)) == []


async def test_c11_post_only_rests_is_found_and_is_cancelled(
    kit: Kit, client: ExecutionClient
) -> None:
    command = resting(kit)
    report = await client.submit(command)
    assert (report.status, report.filled, report.price) == (OrderStatus.OPEN, 0, 60500)
    assert [item.client_order_id for item in await client.open_orders()] == [
        command.client_order_id
    ]
    found = await client.order(kit.symbol, command.client_order_id)
    assert (found.venue_order_id, found.amount) == (report.venue_order_id, command.amount)
    cancelled = await client.cancel(CancelOrder(kit.symbol, command.client_order_id))
    assert cancelled.status is OrderStatus.CANCELLED
    assert (await settled(client, command)).status is OrderStatus.CANCELLED
    assert await client.open_orders() == []


async def test_c12_post_only_that_would_cross_never_trades(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = resting(kit, price=mark(venue, kit).quantize(Decimal(1)) + 100)
    try:
        await client.submit(command)
    except VenueRejected:
        pass
    else:
        final = await settled(client, command)
        assert final.status in (OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)
        assert final.filled == 0
    assert venue.ledger.since(kind="fill") == []


async def test_c13_the_rest_of_an_ioc_order_does_not_stay(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    quote = venue.engine.markets[kit.symbol].quote
    amount = quote.ask_size + venue.engine.markets[kit.symbol].instrument.lot
    command = order(kit, kind=OrderType.IOC, amount=str(amount), price=quote.ask)
    venue.engine.accounts["alpha"].wallet = Decimal(10**9)
    await client.submit(command)
    final = await settled(client, command)
    assert final.filled == quote.ask_size
    assert final.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
    assert await client.open_orders() == []


async def test_c14_reduce_only_never_opens(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    with pytest.raises(VenueRejected):
        await client.submit(order(kit, side=Side.BUY, reduce_only=True))
    assert accepted(venue) == []
    command = order(kit, side=Side.SELL, amount="0.9", reduce_only=True)
    await client.submit(command)
    assert (await settled(client, command)).filled == Decimal("0.5")
    assert await client.positions() == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"amount": "100"}, id="margin"),
        pytest.param({"amount": "0.0100001"}, id="off the lot"),
        pytest.param({"amount": "0.00001"}, id="too small"),
        pytest.param({"price": "60500.00001", "kind": OrderType.LIMIT}, id="off the tick"),
        pytest.param({"price": "99000", "kind": OrderType.LIMIT}, id="beyond the band"),
        pytest.param({"symbol": "NOSUCH"}, id="unknown symbol"),
    ],
)
async def test_c15_a_structured_refusal_is_definitive_and_changes_nothing(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, changes: dict[str, Any]
) -> None:
    with pytest.raises(VenueRejected) as refused:
        await client.submit(order(kit, **changes))
    assert re.fullmatch(r"-?\w+", refused.value.venue_code)
    assert refused.value.message
    assert accepted(venue) == []
    assert [item.size for item in await client.positions()] == [Decimal("0.5")]


async def test_c16_an_id_used_again_means_go_and_read_it(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    command = resting(kit)
    await client.submit(command)
    with pytest.raises(OutcomeUnknown):
        await client.submit(command)
    assert len(accepted(venue)) == 1


@pytest.mark.parametrize(
    "lost",
    [
        Fault(FaultKind.RESET, "POST"),
        Fault(FaultKind.RAW, "POST", body=b"<html>"),
        Fault(FaultKind.ANSWER, "POST", status=502, body=b"<html>"),
    ],
    ids=lambda fault: fault.kind.value,
)
@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "not accepted"])
async def test_c17_a_lost_reply_is_unknown_whatever_happened(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, lost: Fault, accepts: bool
) -> None:
    await client.positions()
    venue.faults.add(replace(lost, accepts=accepts))
    command = resting(kit)
    with pytest.raises(OutcomeUnknown):
        await client.submit(command)
    if accepts:
        found = await client.order(kit.symbol, command.client_order_id)
        assert found.status is OrderStatus.OPEN
    else:
        with pytest.raises(OrderNotFound):
            await client.order(kit.symbol, command.client_order_id)
    assert len(accepted(venue)) == int(accepts)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"a":NaN}', b"[" * 5000])
async def test_c18_an_answer_without_our_order_in_it_is_unknown(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, body: bytes
) -> None:
    await client.positions()
    venue.faults.add(Fault(FaultKind.ANSWER, "POST", body=body))
    with pytest.raises(OutcomeUnknown):
        await client.submit(resting(kit))
    venue.faults.add(Fault(FaultKind.ANSWER, "GET", body=body))
    if body != b"[]":  # a list without rows is how some venues say that there are none
        with pytest.raises(VenueUnavailable):
            await client.positions()


@pytest.mark.parametrize("status", [429, 418])
async def test_c19_a_throttled_request_was_not_accepted_and_nothing_follows_it(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, market: MarketClient, status: int
) -> None:
    await client.positions()
    venue.faults.add(
        Fault(
            FaultKind.ANSWER,
            accepts=False,
            status=status,
            body=b"{}",
            headers={"Retry-After": "120"},
        )
    )
    with pytest.raises(RateLimited) as throttled:
        await client.submit(resting(kit))
    assert throttled.value.retry_after == 120
    told = venue.ledger.last_sequence
    reducing = replace(resting(kit), reduce_only=True)
    for attempt in (
        client.balance(),
        client.submit(reducing),
        client.cancel(CancelOrder(kit.symbol, resting(kit).client_order_id)),
        client.cancel_all(kit.symbol),
        market.instruments(),
        market.server_time(),
    ):
        with pytest.raises(RateLimited) as held:
            await attempt
        assert 100 < held.value.retry_after <= 121
    assert venue.ledger.since(told, kind="request") == []
    assert accepted(venue) == []


async def test_c20_no_connection_is_not_sent_and_a_refusing_proxy_is_named(
    kit: Kit, venue: PaperVenue
) -> None:
    client = REGISTRY.execution_client(kit.dialect, kit.endpoint, kit.credentials)
    with pytest.raises(NotSent):
        await client.submit(order(kit))
    await client.close()
    # A proxy that answers 407 for everything: the paper venue itself plays it.
    client = REGISTRY.execution_client(
        kit.dialect, kit.endpoint, kit.credentials, proxy_url=venue.rest_url
    )
    venue.faults.add(Fault(FaultKind.ANSWER, accepts=False, status=407, times=9))
    with pytest.raises(ProxyRefused):
        await client.submit(order(kit))
    await client.close()


async def test_c21_orders_carry_our_own_strings_and_nobodys_fee(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    await client.submit(resting(kit, side=Side.SELL, price="62500", reduce_only=True))
    sent = request_of(venue, kit)
    assert sent["price"] == "62500"
    assert sent.get("quantity", sent.get("amount")) == "0.01"
    assert sent.get("timeInForce", sent.get("tif")) in ("GTX", "ALO")
    assert sent.get("reduceOnly", sent.get("reduce_only")) in ("true", True)
    assert not [name for name in sent if "builder" in name.lower() or "fee" in name.lower()]
    paths = {entry["path"] for entry in venue.ledger.since(kind="request")}
    assert not [path for path in paths if "builder" in path.lower()]


async def test_c22_cancel_all_clears_one_symbol(kit: Kit, client: ExecutionClient) -> None:
    kept = resting(kit, symbol=kit.symbol.replace("BTC", "ETH"), price="2600", amount="0.1")
    for command in (resting(kit), resting(kit), kept):
        await client.submit(command)
    await client.cancel_all(kit.symbol)
    assert [item.client_order_id for item in await client.open_orders()] == [kept.client_order_id]


async def test_c23_cancelling_what_is_not_there_is_not_found(
    kit: Kit, client: ExecutionClient
) -> None:
    with pytest.raises(OrderNotFound):
        await client.cancel(CancelOrder(kit.symbol, order(kit).client_order_id))


async def test_c24_leverage_is_set_and_confirmed(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    await client.set_leverage(kit.symbol, Decimal(25))
    assert venue.engine.accounts["alpha"].leverage_of(kit.symbol) == 25
    with pytest.raises(VenueRejected):
        await client.set_leverage(kit.symbol, Decimal(5000))
    with pytest.raises(NotSent):
        await client.set_leverage(kit.symbol, Decimal("2.5"))


async def test_c25_every_request_passes_the_limiter(
    kit: Kit, venue: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits: list[Permit] = []
    attempt = Limiter.attempt

    def counted(made: Limiter, way: Gate, cost: Cost) -> Permit | int:
        got = attempt(made, way, cost)
        if isinstance(got, Permit):
            permits.append(got)
        return got

    monkeypatch.setattr(Limiter, "attempt", counted)
    client = REGISTRY.execution_client(kit.dialect, venue.endpoint, kit.credentials)
    market = REGISTRY.market_client(kit.dialect, venue.endpoint)
    since = datetime.now(UTC) - timedelta(hours=1)
    command = resting(kit)
    await client.submit(command)
    for ask in (
        client.balance(),
        client.positions(),
        client.open_orders(),
        client.order(kit.symbol, command.client_order_id),
        client.fills([kit.symbol], since=since),
        client.funding_payments(since=since),
        client.transfers(since=since),
        client.cancel(CancelOrder(kit.symbol, command.client_order_id)),
        client.cancel_all(kit.symbol),
        client.set_leverage(kit.symbol, Decimal(3)),
        client.open_private_stream(),
        client.keep_private_stream(),
        market.instruments(),
        market.book_tops([kit.symbol]),
        market.funding_quotes(),
        market.server_time(),
    ):
        await ask
    assert len(permits) == len(venue.ledger.since(kind="request"))
    assert all(permit.has_ended for permit in permits)
    await client.close()
    await market.close()
