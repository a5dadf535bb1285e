"""The REST side of the Binance USDⓈ-M dialect: routes, checks, answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec

from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import finite_decimal
from markets.venues.paper.dialects import binance_auth as auth
from markets.venues.paper.dialects import binance_render as render
from markets.venues.paper.dialects.binance_errors import (
    REASONS,
    BinanceError,
    malformed,
    mandatory,
)
from markets.venues.paper.ledger import safe_params
from markets.venues.paper.model import Account, Market
from markets.venues.paper.rules import Refused
from markets.venues.paper.venue import Reply, Request, Venue

ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class Security(Enum):
    """What a route asks for: nothing, a key, or a key and a signature."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


class Call:
    """One request being answered: its parameters, its account and the venue's time."""

    def __init__(
        self, venue: Venue, params: Mapping[str, str], account: Account | None, now_ns: int
    ) -> None:
        self.venue = venue
        self.params = params
        self.now_ns = now_ns
        self.order_headers: dict[str, str] = {}
        self._account = account

    @property
    def now_ms(self) -> int:
        return self.now_ns // 1_000_000

    @property
    def account(self) -> Account:
        if self._account is None:
            raise BinanceError(-2014, "API-key format invalid.", status=401)
        return self._account

    def text(self, name: str) -> str:
        value = self.params.get(name, "")
        if not value:
            raise mandatory(name)
        return value

    def decimal(self, name: str) -> Decimal:
        try:
            return finite_decimal(self.text(name), name=name)
        except InvalidNumber:
            raise malformed(name) from None

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.params.get(name)
        if value is None and default is not None:
            return default
        if not value or not value.isascii() or not value.isdigit() or len(value) > 19:
            raise mandatory(name)
        return int(value)

    def flag(self, name: str) -> bool:
        value = self.params.get(name, "false").lower()
        if value not in ("true", "false"):
            raise malformed(name)
        return value == "true"

    def market(self) -> Market:
        return self.venue.engine.market(self.text("symbol"))

    def markets(self) -> list[Market]:
        """Return the market asked for, or all."""
        if "symbol" in self.params:
            return [self.market()]
        return list(self.venue.engine.markets.values())

    def limit(self, default: int, most: int) -> int:
        return min(self.integer("limit", default), most)


Handler = Callable[[Call], Any]


@dataclass(frozen=True, slots=True)
class Route:
    handler: Handler
    weight: int
    security: Security


class RestDialect:
    """Answers requests by a table of routes; a refusal is a code and a text, never an exception."""

    def __init__(self, venue: Venue, routes: Mapping[tuple[str, str], Route]) -> None:
        self._venue = venue
        self._routes = routes
        self._usage = auth.Usage()

    def handle(self, request: Request) -> Reply:
        """Answer one request. Synchronous, so it is atomic with respect to all others."""
        now_ns = self._venue.now_ns()
        call = Call(self._venue, auth.parameters(request), None, now_ns)
        headers = {"Content-Type": "application/json"}
        code: int | None = None
        status = 200
        try:
            route = self._route(request)
            headers["X-MBX-USED-WEIGHT-1M"] = str(self._usage.add_weight(route.weight, call.now_ms))
            self._check_limit(call.now_ms, headers)
            call = self._authorized(request, route, call)
            answer = route.handler(call)
            if request.path == "/fapi/v1/order" and request.method == "POST":
                headers |= self._usage.add_order(call.account.label, call.now_ms)
        except BinanceError as error:
            code, status = error.code, error.status
            answer = {"code": error.code, "msg": error.message}
        except Refused as refused:
            code, message = REASONS[refused.reason]
            status = 400
            answer = {"code": code, "msg": message}
        return Reply(
            status=status,
            body=ENCODER.encode(answer),
            headers=headers,
            account=self._label(request),
            code=code,
            params=safe_params(call.params),
        )

    def _route(self, request: Request) -> Route:
        route = self._routes.get((request.method, request.path))
        if route is None:
            raise BinanceError(-5000, f"Path {request.path} is not found.", status=404)
        return route

    def _check_limit(self, now_ms: int, headers: dict[str, str]) -> None:
        if self._venue.config.enforce_limits and self._usage.weight > auth.WEIGHT_PER_MINUTE:
            headers["Retry-After"] = str(60 - now_ms // 1000 % 60)
            raise BinanceError(-1003, "Too many requests; current limit is exceeded.", status=429)

    def _authorized(self, request: Request, route: Route, call: Call) -> Call:
        if route.security is Security.NONE:
            return call
        label, secret = auth.account_of_key(self._venue, request.headers)
        if route.security is Security.SIGNED:
            auth.check_signature(request, call.params, secret)
            auth.check_time(call.params, call.now_ms)
        return Call(self._venue, call.params, self._venue.engine.accounts[label], call.now_ns)

    def _label(self, request: Request) -> str | None:
        found = self._venue.credentials.get(request.headers.get("X-MBX-APIKEY", ""))
        return found[0] if found else None


def done(message: str = "success") -> render.Json:
    return {"code": 200, "msg": message}
