"""What the /fapi dialects have in common: market streams, user streams, dead-man timers."""

import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from markets.venues.paper.dialects import fapi_events as events
from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.dialects.fapi_errors import REASONS, FapiError
from markets.venues.paper.dialects.fapi_rest import (
    ENCODER,
    Call,
    Door,
    RestDialect,
    Route,
    Routes,
    Security,
)
from markets.venues.paper.dialects.fapi_routes import at
from markets.venues.paper.dialects.fapi_subjects import USER_STREAM, stream_subject
from markets.venues.paper.faults import FaultKind, Subject
from markets.venues.paper.hub import Client
from markets.venues.paper.model import Market, OrderKind, Trade
from markets.venues.paper.rules import (
    AccountChanged,
    EngineEvent,
    IncomeBooked,
    OrderChanged,
    Reason,
)
from markets.venues.paper.venue import Reply, Request, Venue

LISTEN_KEY_LIFE_MS: Final = 60 * 60_000
MARK_EVERY_SECONDS: Final = 3
QUOTES: Final = re.compile(r"[0-9a-z_]+@bookTicker|!bookTicker")
TRADES: Final = re.compile(r"[0-9a-z_]+@trade")
AGGREGATES: Final = re.compile(r"[0-9a-z_]+@aggTrade")
TICKERS: Final = re.compile(r"[0-9a-z_]+@(?:ticker|miniTicker)")
MARKS: Final = re.compile(r"[0-9a-z_]+@markPrice(@1s)?|!markPrice@arr(@1s)?")


def any_of(names: Iterable[str], kinds: Iterable[re.Pattern[str]]) -> list[str]:
    """Return the names of streams that are of one of these kinds."""
    return [name for name in names if any(kind.fullmatch(name) for kind in kinds)]


class FapiDialect:
    """One venue's kin of the protocol. A venue says which paths its sockets have (`socket`, with
    the groups channel, kind and rest) and which streams are served on which (`streams_on`).
    """

    socket: re.Pattern[str]
    has_trade_lite: bool
    refusals = frozenset(REASONS)
    lacks: Collection[FaultKind] = ()

    def __init__(
        self, venue: Venue, routes: Routes, door: Door, *, prefix: str, key_security: Security
    ) -> None:
        self._venue = venue
        self._listen_keys: dict[str, tuple[str, int]] = {}
        self._countdowns: dict[tuple[str, str], int] = {}
        own = {
            ("POST", "listenKey"): Route(self._make_listen_key, 1, key_security),
            ("PUT", "listenKey"): Route(self._keep_listen_key, 1, key_security),
            ("DELETE", "listenKey"): Route(self._close_listen_key, 1, key_security),
            ("POST", "countdownCancelAll"): Route(self._countdown, 10, Security.SIGNED),
        }
        self._rest = RestDialect(venue, {**routes, **at(prefix, own)}, door)

    def streams_on(self, channel: str, names: Iterable[str]) -> list[str] | None:
        """Return which of `names` a socket on a channel gets; None when it must be refused."""
        raise NotImplementedError

    def handle(self, request: Request) -> Reply:
        return self._rest.handle(request)

    def subject(self, request: Request) -> Subject:
        return self._rest.subject(request)

    def stream_subject(self, stream: str) -> Subject:
        return stream_subject(stream)

    def refused(
        self, request: Request, reason: Reason, *, status: int | None = None, until_ms: int = 0
    ) -> Reply:
        return self._rest.refused(request, reason, status=status, until_ms=until_ms)

    # Market streams

    def quote_moved(self, market: Market) -> None:
        self.publish_quote(market.instrument.symbol, events.book_ticker_event(market))

    def publish_quote(self, symbol: str, payload: bytes) -> None:
        """Send a bookTicker message to its own stream and to the stream of all symbols."""
        hub = self._venue.hub
        hub.publish(f"{symbol.lower()}@bookTicker", payload)
        if hub.listened("!bookTicker"):
            hub.publish("!bookTicker", payload)

    def second_passed(self, second: int) -> None:
        self._publish_tickers()
        self._publish_marks("@1s")
        if second % MARK_EVERY_SECONDS == 0:
            self._publish_marks("")
        now_ns = self._venue.now_ns()
        self._expire_listen_keys(now_ns // 1_000_000)
        self._fire_countdowns(now_ns)

    def _publish_marks(self, suffix: str) -> None:
        now_ms = self._venue.now_ms()
        marks = [
            events.mark_price_event(market, now_ms=now_ms)
            for market in self._venue.engine.markets.values()
        ]
        hub = self._venue.hub
        for mark in marks:
            hub.publish(f"{mark['s'].lower()}@markPrice{suffix}", ENCODER.encode(mark))
        hub.publish(f"!markPrice@arr{suffix}", ENCODER.encode(marks))

    def _publish_tickers(self) -> None:
        hub, now_ms = self._venue.hub, self._venue.now_ms()
        for symbol, market in self._venue.engine.markets.items():
            for name, kind in (("ticker", "24hrTicker"), ("miniTicker", "24hrMiniTicker")):
                stream = f"{symbol.lower()}@{name}"
                if hub.listened(stream):
                    event = events.ticker_event(market, kind, now_ms=now_ms)
                    hub.publish(stream, ENCODER.encode(event))

    def _publish_trade(self, fill: Trade) -> None:
        for kind in ("aggTrade", "trade"):
            stream = f"{fill.symbol.lower()}@{kind}"
            if self._venue.hub.listened(stream):
                event = events.public_trade_event(fill, kind)
                self._venue.hub.publish(stream, ENCODER.encode(event))

    # Sockets

    def accept_socket(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        match = self.socket.fullmatch(path)
        if match is None:
            return None
        names = query.get("listenKey") or query.get("streams") or match["rest"] or ""
        return self.streams_on(match["channel"] or "", names.split("/"))

    def is_combined(self, path: str) -> bool:
        match = self.socket.fullmatch(path)
        return match is not None and match["kind"] == "stream"

    def client_message(self, client: Client, text: str) -> bytes | None:
        try:
            message: Any = json.loads(text)
        except ValueError:
            return _stream_error(None, 3, "Invalid JSON: expected value")
        if not isinstance(message, dict):
            return _stream_error(None, 2, "Invalid request: request should be an object")
        request_id = message.get("id")
        method, params = message.get("method"), message.get("params", [])
        if method == "LIST_SUBSCRIPTIONS":
            return ENCODER.encode({"result": sorted(client.streams), "id": request_id})
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return _stream_error(request_id, 2, "Invalid request: unknown method")
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            return _stream_error(request_id, 2, "Invalid request: params should be texts")
        if method == "UNSUBSCRIBE":
            self._venue.hub.unsubscribe(client, params)
        else:
            self._venue.hub.subscribe(client, self._allowed(client.path, params))
        return ENCODER.encode({"result": None, "id": request_id})

    def _allowed(self, path: str, names: Iterable[str]) -> list[str]:
        match = self.socket.fullmatch(path)
        return self.streams_on((match and match["channel"]) or "", names) or []

    def user_streams(self, keys: Iterable[str]) -> list[str]:
        labels = [label for label, (key, _) in self._listen_keys.items() if key in keys]
        return [_user_stream(label) for label in labels]

    # User streams

    def engine_event(self, event: EngineEvent) -> None:
        if isinstance(event, IncomeBooked):
            return
        now_ms = event.at_ns // 1_000_000
        if isinstance(event, AccountChanged):
            body = events.account_event(
                event.account,
                event.symbols,
                self._venue.engine.markets,
                reason=event.reason,
                change=event.change,
                now_ms=now_ms,
            )
            self._tell(event.account.label, body)
        else:
            self._tell_order(event, now_ms)

    def _tell_order(self, event: OrderChanged, now_ms: int) -> None:
        order, fill = event.order, event.trade
        if fill is not None:
            self._publish_trade(fill)
        if fill is not None and self.has_trade_lite:
            self._tell(order.account, events.trade_lite_event(order, fill, now_ms=now_ms))
        execution = event.execution.value
        if fill is not None and order.kind is OrderKind.LIQUIDATION:
            execution = "CALCULATED"
        self._tell(order.account, events.order_event(order, execution, fill, now_ms=now_ms))

    def _tell(self, label: str, body: render.Json) -> None:
        stream = _user_stream(label)
        key = self._listen_keys.get(label)
        if key is not None and self._venue.hub.listened(stream):
            self._venue.hub.publish(stream, ENCODER.encode(body), shown_as=key[0])

    # Listen keys: one per account; making one again prolongs it.

    def _make_listen_key(self, call: Call) -> object:
        label = call.account.label
        key, _ = self._listen_keys.get(label, (secrets.token_hex(32), 0))
        self._listen_keys[label] = (key, call.now_ms + LISTEN_KEY_LIFE_MS)
        return {"listenKey": key}

    def _keep_listen_key(self, call: Call) -> object:
        label = call.account.label
        if label not in self._listen_keys:
            raise FapiError(-1125, "This listenKey does not exist.")
        return self._make_listen_key(call)

    def _close_listen_key(self, call: Call) -> object:
        self.end_listen_key(call.account.label)
        return {}

    def end_listen_key(self, label: str) -> None:
        """Drop an account's listen key: its streams are told, then stay silent."""
        found = self._listen_keys.pop(label, None)
        if found is None:
            return
        event = {
            "e": "listenKeyExpired",
            "E": self._venue.now_ms(),
            "listenKey": found[0],
        }
        hub, stream = self._venue.hub, _user_stream(label)
        hub.publish(stream, ENCODER.encode(event), shown_as=found[0])
        for client in list(hub.clients.values()):
            hub.unsubscribe(client, [stream] if stream in client.streams else [])

    def _expire_listen_keys(self, now_ms: int) -> None:
        for label, (_, until_ms) in list(self._listen_keys.items()):
            if now_ms >= until_ms:
                self.end_listen_key(label)

    # Dead-man timers

    def _countdown(self, call: Call) -> object:
        symbol = call.market().instrument.symbol
        milliseconds = call.integer("countdownTime")
        timer = (call.account.label, symbol)
        if milliseconds:
            self._countdowns[timer] = call.now_ns + milliseconds * 1_000_000
        else:
            self._countdowns.pop(timer, None)
        self._note_timer(timer, "armed" if milliseconds else "disarmed", call.now_ns, milliseconds)
        return {"symbol": symbol, "countdownTime": str(milliseconds)}

    def _fire_countdowns(self, now_ns: int) -> None:
        for (label, symbol), due_ns in list(self._countdowns.items()):
            if now_ns >= due_ns:
                del self._countdowns[label, symbol]
                self._note_timer((label, symbol), "fired", now_ns, 0)
                engine = self._venue.engine
                engine.cancel_all(engine.accounts[label], symbol, now_ns=now_ns)

    def _note_timer(self, timer: tuple[str, str], event: str, now_ns: int, after_ms: int) -> None:
        label, symbol = timer
        self._venue.ledger.append(
            "timer", now_ns, account=label, symbol=symbol, event=event, afterMs=after_ms
        )


def _user_stream(label: str) -> str:
    return f"{USER_STREAM}{label}"


def _stream_error(request_id: object, code: int, message: str) -> bytes:
    return ENCODER.encode({"error": {"code": code, "msg": message}, "id": request_id})
