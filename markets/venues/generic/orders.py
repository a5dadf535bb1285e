"""Orders of one account: our ids at the venue, looking orders up, and what an echo proves."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from controlplane.kernel.ids import client_order_id as id_of_intent
from controlplane.kernel.ids import intent_id_of
from controlplane.kernel.units import BaseAmount, plain
from markets.venues.checks import BadAnswer, moment, same
from markets.venues.errors import NotSent, OrderNotFound, VenueUnavailable
from markets.venues.generic import parsing
from markets.venues.generic.calls import Calls
from markets.venues.generic.facts import Lookup, VenueFacts
from markets.venues.types import OrderReport, OrderStatus, OrderType, SubmitOrder


class Orders:
    """Translates and finds orders of one exchange instance."""

    def __init__(self, exchange: Any, facts: VenueFacts, calls: Calls) -> None:
        self._exchange = exchange
        self._facts = facts
        self._calls = calls

    # Ids

    def sent_id(self, client_order_id: str) -> str:
        """Return our id as the venue takes it; raises NotSent for one it cannot take."""
        if not self._facts.ids_are_hex:
            return client_order_id
        intent = intent_id_of(client_order_id)
        if intent is None:
            raise NotSent(f"{client_order_id} is no id that {self._exchange.id} can carry.")
        return f"0x{intent.hex}"

    def our_id(self, told: Any) -> str | None:
        """Return an id the venue told in our own form, None when it told none."""
        if not told:
            return None
        text = str(told)
        if self._facts.ids_are_hex and len(text) == 34:
            return id_of_intent(UUID(hex=text[2:]))
        return text

    def by_id(self, client_order_id: str) -> dict[str, str]:
        return {self._facts.id_parameter: self.sent_id(client_order_id)}

    # Looking up

    async def open(self) -> Sequence[OrderReport]:
        """Return all open orders; VenueUnavailable when they may not fit the venue's one page."""
        return await self._calls.read(self._exchange.fetch_open_orders, self._whole_page)

    async def find(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        """Return the order; OrderNotFound only where the venue proves that it has none."""
        if self._facts.lookup is Lookup.ORDER:
            return await self._calls.read(
                lambda: self._exchange.fetch_order(None, venue_symbol, self.by_id(client_order_id)),
                partial(self._asked_for, venue_symbol=venue_symbol, ours=client_order_id),
            )
        if self._facts.lookup is Lookup.LISTS:
            return await self._in_lists(venue_symbol, client_order_id)
        for report in await self.open():
            if (report.venue_symbol, report.client_order_id) == (venue_symbol, client_order_id):
                return report
        raise VenueUnavailable("Not among the open orders; ccxt cannot ask for an id we gave here.")

    async def _in_lists(self, venue_symbol: str, ours: str) -> OrderReport:
        exchange = self._exchange
        for ask in (exchange.fetch_open_orders, exchange.fetch_canceled_and_closed_orders):
            found = await self._calls.read(
                partial(ask, venue_symbol, None, None, self.by_id(ours)),
                lambda rows: [
                    self._asked_for(row, venue_symbol=venue_symbol, ours=ours)
                    for row in parsing.listed(rows)
                ],
                is_whole=True,
            )
            if found:
                return found[0]
        raise OrderNotFound("not-listed", "Neither open nor ended orders list it.")

    def _asked_for(self, row: Any, *, venue_symbol: str, ours: str) -> OrderReport:
        report = self.report(row)
        same("symbol", report.venue_symbol, venue_symbol)
        same("client order id", report.client_order_id, ours)
        return report

    def _whole_page(self, rows: Any) -> Sequence[OrderReport]:
        if len(parsing.listed(rows)) >= self._facts.orders_page:
            raise BadAnswer("page-full", f"{len(rows)} orders")
        return [self.report(row) for row in rows if parsing.is_listed(self._exchange.markets, row)]

    def report(self, row: Any) -> OrderReport:
        return parsing.order(
            row,
            self._exchange.markets,
            client_order_id=self.our_id(row.get("clientOrderId")),
            now_ms=self._calls.now_ms(),
        )

    # Sending

    def size(self, command: SubmitOrder) -> str:
        """Return the size in contracts; raises NotSent for one that would go out as another."""
        market = parsing.market_of(self._exchange.markets, {"symbol": command.venue_symbol})
        contracts = command.amount / parsing.contract_size(market)
        rounded = self._exchange.amount_to_precision(command.venue_symbol, plain(contracts))
        return _unrounded(contracts, rounded, "size")

    def price(self, command: SubmitOrder) -> str | None:
        """Return the price; raises NotSent for one that would go out as another."""
        if command.type is OrderType.MARKET or command.price is None:
            return None
        rounded = self._exchange.price_to_precision(command.venue_symbol, plain(command.price))
        return _unrounded(command.price, rounded, "price")

    def echoed(self, said: Any, command: SubmitOrder) -> OrderReport | None:
        """Return what the venue said of our new order, None when it did not name our id.

        Raises BadAnswer when it gave no id of its own or said something else than we asked for.
        """
        if not isinstance(said, Mapping):
            raise BadAnswer("malformed", "no order")
        parsing.text(said, "id")
        ours = self.our_id(said.get("clientOrderId"))
        if ours is None:
            return None
        same("client order id", ours, command.client_order_id)
        if said.get("amount") and said.get("status") and said.get("filled"):
            return self.fits(self.report(said), command)
        for name, asked in (("symbol", command.venue_symbol), ("side", command.side.value)):
            if said.get(name):
                same(name, said[name], asked)
        if said.get("status") not in (None, "open"):
            raise BadAnswer("bad-status", f"{said['status']} without a filled amount")
        return OrderReport(
            venue_symbol=command.venue_symbol,
            venue_order_id=str(said["id"]),
            client_order_id=command.client_order_id,
            side=command.side,
            status=OrderStatus.OPEN,
            amount=command.amount,
            filled=BaseAmount(Decimal(0)),
            price=command.price,
            average_price=None,
            reduce_only=command.reduce_only,
            at=moment(self._calls.now_ms(), "now"),
        )

    def fits(self, report: OrderReport, command: SubmitOrder) -> OrderReport:
        """Return the report of our order; raises BadAnswer when it is not what we asked for."""
        same("symbol", report.venue_symbol, command.venue_symbol)
        same("client order id", report.client_order_id, command.client_order_id)
        same("side", report.side, command.side)
        same("amount", report.amount, command.amount)
        if command.type is not OrderType.MARKET and report.price is not None:
            same("price", report.price, command.price)
        return report


def terms(command: SubmitOrder) -> dict[str, Any]:
    """Return how an order is to be worked, in ccxt's unified parameters."""
    params: dict[str, Any] = {}
    if command.type is OrderType.POST_ONLY:
        params["postOnly"] = True
    if command.type is OrderType.IOC:
        params["timeInForce"] = "IOC"
    if command.reduce_only:
        params["reduceOnly"] = True
    return params


def _unrounded(asked: Decimal, rounded: Any, name: str) -> str:
    if Decimal(str(rounded)) != asked:
        raise NotSent(f"A {name} of {plain(asked)} would have gone out as {rounded}.")
    return plain(asked)
