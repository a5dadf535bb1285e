"""The Pacifica dialect: REST, and sockets with channels that anyone may open."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from markets.venues.paper.dialects import pacifica_render as render
from markets.venues.paper.dialects.pacifica_errors import REASONS
from markets.venues.paper.dialects.pacifica_rest import RestDialect
from markets.venues.paper.dialects.pacifica_routes import POSTS, READS
from markets.venues.paper.dialects.pacifica_subjects import stream_subject
from markets.venues.paper.faults import FaultKind, Subject
from markets.venues.paper.hub import Client, address_of
from markets.venues.paper.model import Market, OrderKind
from markets.venues.paper.rules import (
    AccountChanged,
    EngineEvent,
    Execution,
    IncomeBooked,
    OrderChanged,
    Reason,
)
from markets.venues.paper.venue import Reply, Request, Venue
from markets.venues.types import OrderStatus

SILENCE_SECONDS: Final = 60
"""A client that says nothing for so long is cut; protocol pongs do not count."""
_OWN: Final = b'{"channel"'
_PATHS: Final = frozenset({"/ws", "/pws"})
_ACCOUNT_CHANNELS: Final = frozenset(
    {
        "account_positions",
        "account_orders",
        "account_order_updates",
        "account_trades",
        "account_info",
    }
)


class PacificaDialect:
    """What a subscription gets it is told by data alone: a wrong one is met with silence."""

    refusals = frozenset(REASONS)
    lacks = frozenset({FaultKind.KEEPALIVE_FAILS, FaultKind.HEDGE_MODE})

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._rest = RestDialect(venue, READS, POSTS)
        self._heard: dict[int, int] = {}
        self._second = 0

    def handle(self, request: Request) -> Reply:
        return self._rest.handle(request)

    def subject(self, request: Request) -> Subject:
        return self._rest.subject(request)

    def stream_subject(self, stream: str) -> Subject:
        labels = {address: found[0] for address, found in self._venue.credentials.items()}
        return stream_subject(stream, labels)

    def refused(
        self, request: Request, reason: Reason, *, status: int | None = None, until_ms: int = 0
    ) -> Reply:
        return self._rest.refused(request, reason, status=status)

    # Market channels

    def quote_moved(self, market: Market) -> None:
        symbol = market.instrument.symbol
        self._publish("bbo", symbol, render.bbo(market))
        if self._venue.hub.listened(_stream_name("book", symbol)):
            self._publish("book", symbol, render.book(market))

    def publish_quote(self, symbol: str, payload: bytes) -> None:
        """Send a recorded frame of Pacifica's as it is; of another's, only the prices in it."""
        if not payload.startswith(_OWN):
            payload = self._frame("bbo", render.bbo(self._venue.engine.markets[symbol]))
        self._venue.hub.publish(_stream_name("bbo", symbol), payload)

    def second_passed(self, second: int) -> None:
        self._second = second
        markets = self._venue.engine.markets.values()
        self._publish("prices", "", render.prices(markets, now_ms=self._venue.now_ms()))
        for client in list(self._venue.hub.clients.values()):
            if second - self._heard.setdefault(client.client_id, second) > SILENCE_SECONDS:
                client.cut_off()
        self._heard = {key: at for key, at in self._heard.items() if key in self._venue.hub.clients}

    # Sockets

    def accept_socket(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        return [] if path in _PATHS else None

    def is_combined(self, path: str) -> bool:
        return False

    def client_message(self, client: Client, text: str) -> bytes | None:
        self._heard[client.client_id] = self._second
        try:
            message: Any = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(message, dict):
            return None
        method, params = message.get("method"), message.get("params")
        if method == "ping":
            return b'{"channel":"pong"}'
        if method is None and isinstance(params, dict):
            return self._rest.act(message.get("id"), params, address=address_of(client.peer))
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            return None
        stream = self._stream(params)
        if stream is None:
            return None
        hub = self._venue.hub
        acknowledgement = msgspec.json.encode({"channel": method, "data": params})
        if method == "unsubscribe":
            hub.unsubscribe(client, [stream])
            return acknowledgement
        hub.subscribe(client, [stream])
        hub.send(client, acknowledgement)
        snapshot = self._snapshot(params)
        if snapshot is not None:
            hub.send(client, snapshot, stream=stream)
        return None

    def _stream(self, params: Mapping[str, Any]) -> str | None:
        source = params.get("source")
        if source == "prices":
            return _stream_name("prices", "")
        if source in ("bbo", "trades") or (source == "book" and params.get("agg_level") == 1):
            symbol = params.get("symbol")
            return _stream_name(source, symbol) if symbol in self._venue.engine.markets else None
        if source in _ACCOUNT_CHANNELS and params.get("account") in self._venue.credentials:
            return _stream_name(source, params["account"])
        return None

    def _snapshot(self, params: Mapping[str, Any]) -> bytes | None:
        """Return what some channels begin with."""
        source, engine = params["source"], self._venue.engine
        if source == "book":
            return self._frame("book", render.book(engine.markets[params["symbol"]]))
        if source not in ("account_positions", "account_orders", "account_info"):
            return None
        account = engine.accounts[self._venue.credentials[params["account"]][0]]
        data: Any
        if source == "account_positions":
            data = render.position_updates(self._venue.as_told(account), engine.markets)
        elif source == "account_orders":
            data = [render.open_order(order) for order in account.open_orders.values()]
        else:
            data = render.account_info(account, engine.margin(account), now_ms=self._venue.now_ms())
        return self._frame(source, data)

    # Account channels

    def engine_event(self, event: EngineEvent) -> None:
        if isinstance(event, AccountChanged):
            self._tell_account(event)
        elif not isinstance(event, IncomeBooked):
            self._tell_order(event)

    def _tell_account(self, event: AccountChanged) -> None:
        account, engine = event.account, self._venue.engine
        address = self._address(account.label)
        if event.symbols:
            rows = render.position_updates(account, event.symbols)
            self._publish("account_positions", address, rows)
        info = render.account_info(account, engine.margin(account), now_ms=self._venue.now_ms())
        self._publish("account_info", address, info)

    def _tell_order(self, event: OrderChanged) -> None:
        order, address = event.order, self._address(event.order.account)
        if event.trade is not None:
            self._publish("trades", order.symbol, [render.public_trade(event.trade)])
            self._publish("account_trades", address, [render.trade_update(event.trade, address)])
        row = render.order_update(order, _event_name(event), address, sequence=self._sequence())
        self._publish("account_order_updates", address, [row])

    def end_listen_key(self, label: str) -> None:
        """There is none: account channels stay open as long as their socket."""

    def _address(self, label: str) -> str:
        return next(
            address for address, found in self._venue.credentials.items() if found[0] == label
        )

    def _sequence(self) -> int:
        return self._venue.engine.last_id

    def _publish(self, channel: str, subject: str, data: Any) -> None:
        stream = _stream_name(channel, subject)
        if self._venue.hub.listened(stream):
            self._venue.hub.publish(stream, self._frame(channel, data))

    def _frame(self, channel: str, data: Any) -> bytes:
        frame = {"channel": channel, "data": data}
        if channel == "account_positions":
            frame["li"] = self._sequence()
        return msgspec.json.encode(frame)


def _stream_name(channel: str, subject: str) -> str:
    return f"{channel}:{subject}"


def _event_name(event: OrderChanged) -> str:
    if event.execution is Execution.TRADE:
        return "fulfill_limit" if event.order.kind is OrderKind.LIMIT else "fulfill_market"
    if event.order.status is OrderStatus.REJECTED:
        return "post_only_rejected"
    return "make" if event.execution is Execution.NEW else "cancel"
