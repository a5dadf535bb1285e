"""The REST side of the /fapi dialects: routes, checks, answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import msgspec

from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import finite_decimal
from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.dialects import fapi_usage as usage
from markets.venues.paper.dialects.fapi_errors import (
    FapiError,
    malformed,
    mandatory,
    refusal,
)
from markets.venues.paper.dialects.fapi_subjects import request_subject
from markets.venues.paper.faults import Subject
from markets.venues.paper.ledger import safe_params
from markets.venues.paper.model import Account, Market
from markets.venues.paper.rules import Reason, Refused
from markets.venues.paper.venue import Reply, Request, Venue

ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_SIGNATURE: Final = b"signature="


class Security(Enum):
    """What a route asks for: nothing, a key, a key and a signature, or the owner's own consent."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"
    CONSENT = "consent"


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
            raise FapiError(-2014, "API-key format invalid.", status=401)
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


Routes = Mapping[tuple[str, str], Route]


class Door(Protocol):
    """How a venue knows who calls."""

    def enter(
        self, request: Request, params: Mapping[str, str], security: Security, now_ns: int
    ) -> str:
        """Return the label of the account that is proven to call; raises FapiError."""
        ...

    def claimed(self, request: Request, params: Mapping[str, str]) -> str | None:
        """Return the label of the account that a request says it is from, proven or not."""
        ...


def parameters(request: Request) -> dict[str, str]:
    """Return query and body parameters; one sent in both counts as the body has it."""
    pairs = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    pairs += parse_qsl(request.body.decode("latin-1"), keep_blank_values=True)
    return dict(pairs)


def signed_part(part: bytes) -> bytes:
    """Return what comes before the signature, when that is the last parameter."""
    at = part.rfind(_SIGNATURE)
    if at < 0 or (at > 0 and part[at - 1 : at] != b"&"):
        return part
    return part[: max(0, at - 1)]


class RestDialect:
    """Answers requests by a table of routes; a refusal is a code and a text, never an exception."""

    def __init__(self, venue: Venue, routes: Routes, door: Door) -> None:
        self._venue = venue
        self._routes = routes
        self._door = door
        self._usage = usage.Usage()

    def handle(self, request: Request) -> Reply:
        """Answer one request. Synchronous, so it is atomic with respect to all others."""
        now_ns = self._venue.now_ns()
        call = Call(self._venue, parameters(request), None, now_ns)
        headers = {"Content-Type": "application/json"}
        code: int | None = None
        status = 200
        try:
            route = self._route(request)
            used = self._usage.add_weight(request.address, route.weight, call.now_ms)
            headers["X-MBX-USED-WEIGHT-1M"] = str(used)
            self._check_limit(request.address, call.now_ms, headers)
            call = self._authorized(request, route, call)
            is_order = request.path.endswith("/order") and request.method == "POST"
            if is_order:
                self._check_orders(call)
            answer = route.handler(call)
            if is_order:
                headers |= self._usage.add_order(call.account.label, call.now_ms)
        except FapiError as error:
            code, status = error.code, error.status
            answer = {"code": error.code, "msg": error.message}
        except Refused as refused:
            problem = refusal(refused.reason)
            code, status = problem.code, problem.status
            answer = {"code": code, "msg": problem.message}
        return self._reply(request, call.params, headers, status, code, answer)

    def subject(self, request: Request) -> Subject:
        params = parameters(request)
        claimed = self._door.claimed(request, params)
        return request_subject(request.method, request.path, params, claimed)

    def refused(
        self, request: Request, reason: Reason, *, status: int | None, until_ms: int
    ) -> Reply:
        """Return a refusal for `reason` without looking at the request any further."""
        problem = refusal(reason)
        answer = {"code": problem.code, "msg": problem.message.format(until=until_ms)}
        headers = {"Content-Type": "application/json"}
        status = problem.status if status is None else status
        params = parameters(request)
        return self._reply(request, params, headers, status, problem.code, answer)

    def _reply(
        self,
        request: Request,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        status: int,
        code: int | None,
        answer: object,
    ) -> Reply:
        return Reply(
            status=status,
            body=ENCODER.encode(answer),
            headers=headers,
            account=self._door.claimed(request, params),
            code=code,
            params=safe_params(params),
        )

    def _route(self, request: Request) -> Route:
        route = self._routes.get((request.method, request.path))
        if route is None:
            raise FapiError(-5000, f"Path {request.path} is not found.", status=404)
        return route

    def _check_limit(self, address: str, now_ms: int, headers: dict[str, str]) -> None:
        if not self._venue.config.enforce_limits:
            return
        if banned_until := self._usage.banned_until_ms(address, now_ms):
            headers["Retry-After"] = str((banned_until - now_ms) // 1000 + 1)
            text = f"Way too many requests; IP banned until {banned_until}."
            raise FapiError(-1003, text, status=418)
        if self._usage.weight(address) > usage.WEIGHT_PER_MINUTE:
            headers["Retry-After"] = str(60 - now_ms // 1000 % 60)
            raise FapiError(-1003, "Too many requests; current limit is exceeded.", status=429)

    def _check_orders(self, call: Call) -> None:
        label, is_enforced = call.account.label, self._venue.config.enforce_limits
        if is_enforced and self._usage.has_too_many_orders(label, call.now_ms):
            raise FapiError(-1015, "Too many new orders.", status=429)

    def _authorized(self, request: Request, route: Route, call: Call) -> Call:
        if route.security is Security.NONE:
            return call
        label = self._door.enter(request, call.params, route.security, call.now_ns)
        account = request.view(self._venue.engine.accounts[label])
        return Call(self._venue, call.params, account, call.now_ns)


def done(message: str = "success") -> render.Json:
    return {"code": 200, "msg": message}
