"""Orders as the contracts send them, and the patience some venues need."""

import asyncio
from decimal import Decimal
from typing import Any

from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.units import BaseAmount, Price
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient
from markets.venues.types import OrderReport, OrderType, Side, SubmitOrder
from tests.contracts.kits import Kit


def order(
    kit: Kit,
    *,
    side: Side = Side.BUY,
    kind: OrderType = OrderType.MARKET,
    amount: str = "0.010",
    price: Decimal | str | None = None,
    reduce_only: bool = False,
    symbol: str | None = None,
) -> SubmitOrder:
    return SubmitOrder(
        venue_symbol=symbol or kit.symbol,
        side=side,
        type=kind,
        amount=BaseAmount(Decimal(amount)),
        client_order_id=client_order_id(uuid7()),
        price=Price(Decimal(price)) if price is not None else None,
        reduce_only=reduce_only,
    )


def resting(kit: Kit, **changes: Any) -> SubmitOrder:
    """A bid below the market: it rests."""
    return order(kit, **{"kind": OrderType.POST_ONLY, "price": "60500", **changes})


async def settled(client: ExecutionClient, command: SubmitOrder) -> OrderReport:
    """Return the order once it is final: an acceptance alone tells of no fill."""
    for _ in range(40):
        report = await client.order(command.venue_symbol, command.client_order_id)
        if report.status.is_final:
            return report
        await asyncio.sleep(0.05)
    raise AssertionError("the order is still open")


def accepted(venue: PaperVenue) -> list[str]:
    """The client order ids the venue has accepted, each as often as it did."""
    return [
        entry["clientOrderId"]
        for entry in venue.ledger.since(kind="order")
        if entry["execution"] == "NEW"
    ]
