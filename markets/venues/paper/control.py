"""The control endpoint: what tests, demos and oracles may ask of a paper venue. Loopback only."""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from aiohttp import web

from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import finite_decimal, positive_decimal
from markets.venues.paper.faults import (
    HOOKS,
    MATCHES,
    FaultError,
    FaultKind,
    Standing,
    camel,
    fault_from_json,
)
from markets.venues.paper.rules import Refused
from markets.venues.paper.venue import Venue

PAGE: Final = 5_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def control_routes(venue: Venue) -> list[web.RouteDef]:
    control = _Control(venue)
    return [
        web.get("/control/ledger", _guarded(control.ledger)),
        web.get("/control/accounts", _guarded(control.accounts)),
        web.get("/control/streams", _guarded(control.streams)),
        web.get("/control/peer", _guarded(control.peer)),
        web.post("/control/position", _guarded(control.position)),
        web.post("/control/price", _guarded(control.price)),
        web.post("/control/funding", _guarded(control.funding)),
        web.post("/control/pause", _guarded(control.pause)),
        web.post("/control/resume", _guarded(control.resume)),
        web.post("/control/keys", _guarded(control.keys)),
        web.post("/control/listen-key/end", _guarded(control.end_listen_key)),
        web.get("/control/fault", _guarded(control.faults)),
        web.post("/control/fault", _guarded(control.fault)),
        web.delete("/control/fault", _guarded(control.clear_faults)),
        web.delete("/control/fault/{number}", _guarded(control.clear_faults)),
    ]


class _BadRequest(Exception):
    """The caller's fault; the text says what is wrong."""


def _guarded(handler: Handler) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104
            return _answer({"error": "control is for loopback only"}, status=403)
        try:
            return await handler(request)
        except (_BadRequest, InvalidNumber, FaultError) as error:
            return _answer({"error": str(error)}, status=400)
        except Refused as refused:
            return _answer({"error": refused.reason.value}, status=409)

    return serve


class _Control:
    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """Entries after `?since=`, at most PAGE; `?kind=` chooses one kind."""
        since = request.query.get("since", "0")
        if not since.isascii() or not since.isdigit():
            raise _BadRequest("since must be a sequence number")
        ledger = self._venue.ledger
        entries = ledger.since(int(since), kind=request.query.get("kind"), limit=PAGE)
        return _answer({"last": ledger.last_sequence, "entries": entries})

    async def accounts(self, request: web.Request) -> web.StreamResponse:
        engine = self._venue.engine
        return _answer({"accounts": [self._account(label) for label in engine.accounts]})

    def _account(self, label: str) -> dict[str, Any]:
        engine = self._venue.engine
        account = engine.accounts[label]
        state = engine.margin(account)
        return {
            "label": label,
            "equity": f"{state.equity:f}",
            "wallet": f"{state.wallet:f}",
            "initialMargin": f"{state.initial_margin:f}",
            "positions": {
                symbol: f"{position.size:f}"
                for symbol, position in account.positions.items()
                if position.size
            },
            "openOrders": len(account.open_orders),
        }

    async def streams(self, request: web.Request) -> web.StreamResponse:
        """Frames published per stream, and sent per client (past ones too).

        `accounts` are those whose private streams a client ever asked for.
        """
        hub = self._venue.hub
        clients = [*hub.past, *hub.clients.values()]
        return _answer(
            {
                "published": dict(hub.published),
                "clients": [
                    {
                        "id": client.client_id,
                        "path": _without_key(client.path),
                        "open": client.client_id in hub.clients,
                        "cut": client.cut,
                        "peer": client.peer,
                        "streams": sorted(client.streams - self._private(client.streams).keys()),
                        "accounts": sorted(set(self._private(client.asked).values())),
                        "sent": dict(client.sent),
                    }
                    for client in clients
                ],
            }
        )

    def _private(self, streams: Iterable[str]) -> dict[str, str]:
        """Return the private ones of some streams, and whose they are."""
        owners = {stream: self._venue.owner_of(stream) for stream in streams}
        return {stream: label for stream, label in owners.items() if label is not None}

    async def peer(self, request: web.Request) -> web.StreamResponse:
        """The address the asker comes from, as an echo service would tell it."""
        return _answer({"ip": request.remote})

    async def position(self, request: web.Request) -> web.StreamResponse:
        """Trade as a person in the venue's own interface would: {account, symbol, amount}."""
        body = await _body(request)
        label, symbol = self._known_account(body), self._known_symbol(body)
        amount = finite_decimal(body.get("amount"), name="amount")
        if amount == 0:
            raise _BadRequest("amount must not be zero")
        order = self._venue.move_position(label, symbol, amount, source="web")
        return _answer({"orderId": str(order.order_id), "status": order.status.value})

    async def price(self, request: web.Request) -> web.StreamResponse:
        """Set a market's price: {symbol, price} or {symbol, factor}."""
        body = await _body(request)
        symbol = self._known_symbol(body)
        if "factor" in body:
            mark = self._venue.engine.markets[symbol].mark
            price = mark * positive_decimal(body["factor"], name="factor")
        else:
            price = positive_decimal(body.get("price"), name="price")
        quote = self._venue.jump(symbol, price)
        return _answer({"bid": f"{quote.bid:f}", "ask": f"{quote.ask:f}"})

    async def funding(self, request: web.Request) -> web.StreamResponse:
        """Set a market's funding rate, and settle at once when asked: {symbol, rate, settle}."""
        body = await _body(request)
        market = self._venue.engine.markets[self._known_symbol(body)]
        if "rate" in body:
            market.funding_rate = finite_decimal(body["rate"], name="rate")
        if body.get("settle") is True:
            symbol = market.instrument.symbol
            self._venue.funding.settle(symbol, next_ns=market.next_funding_ns)
        return _answer({"rate": f"{market.funding_rate:f}"})

    async def pause(self, request: web.Request) -> web.StreamResponse:
        self._venue.running.clear()
        return _answer({"paused": True})

    async def resume(self, request: web.Request) -> web.StreamResponse:
        self._venue.running.set()
        return _answer({"paused": False})

    async def keys(self, request: web.Request) -> web.StreamResponse:
        """Replace an account's keys: {account, apiKey, apiSecret}."""
        body = await _body(request)
        key, secret = body.get("apiKey"), body.get("apiSecret")
        if not isinstance(key, str) or not isinstance(secret, str) or not key or not secret:
            raise _BadRequest("apiKey and apiSecret must be texts")
        self._venue.set_account_keys(self._known_account(body), key, secret)
        return _answer({})

    async def end_listen_key(self, request: web.Request) -> web.StreamResponse:
        """End an account's user stream as an expiry would: {account}."""
        self._venue.dialect.end_listen_key(self._known_account(await _body(request)))
        return _answer({})

    async def faults(self, request: web.Request) -> web.StreamResponse:
        """The faults in force, and every kind there is with what it takes."""
        return _answer(
            {
                "standing": [_standing(item) for item in self._venue.faults.standing()],
                "kinds": {kind.value: _kind(kind) for kind in FaultKind},
            }
        )

    async def fault(self, request: web.Request) -> web.StreamResponse:
        """Set a fault: {kind, ...}, as the table of kinds says. Answers its number."""
        fault = fault_from_json(await _body(request))
        return _answer({"id": self._venue.faults.add(fault)})

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        """End the fault of a number, or all; {cleared: how many}."""
        number = request.match_info.get("number")
        if number is not None and not (number.isascii() and number.isdigit()):
            raise _BadRequest("a fault is named by its number")
        cleared = self._venue.faults.clear(None if number is None else int(number))
        return _answer({"cleared": cleared})

    def _known_account(self, body: dict[str, Any]) -> str:
        label = body.get("account")
        if not isinstance(label, str) or label not in self._venue.engine.accounts:
            raise _BadRequest(f"unknown account {label!r}")
        return label

    def _known_symbol(self, body: dict[str, Any]) -> str:
        try:
            return self._venue.symbol_of(str(body.get("symbol")))
        except KeyError:
            raise _BadRequest(f"unknown symbol {body.get('symbol')!r}") from None


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text(), parse_float=Decimal)
    except ValueError:
        raise _BadRequest("the body must be JSON") from None
    if not isinstance(body, dict):
        raise _BadRequest("the body must be a JSON object")
    return body


def _standing(item: Standing) -> dict[str, Any]:
    return {
        "id": item.fault_id,
        "kind": item.fault.kind.value,
        "fired": item.fired,
        "left": item.left,
        "millisecondsLeft": item.milliseconds_left,
    }


def _kind(kind: FaultKind) -> dict[str, Any]:
    hook = HOOKS[kind]
    return {
        "stage": hook.stage.value,
        "says": hook.says,
        "takes": sorted(map(camel, hook.takes | MATCHES[hook.stage])),
        "needs": sorted(map(camel, hook.needs)),
    }


def _without_key(path: str) -> str:
    return path if "/private/" not in path else "/private"


def _answer(content: object, *, status: int = 200) -> web.Response:
    return web.json_response(content, status=status)
