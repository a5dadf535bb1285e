"""The REST side of the Pacifica dialect: routes, envelopes, credits, dates."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import finite_decimal
from markets.venues.paper.dialects import pacifica_door as door
from markets.venues.paper.dialects.pacifica_errors import PacificaError, malformed, refusal
from markets.venues.paper.dialects.pacifica_subjects import request_subject
from markets.venues.paper.faults import Subject
from markets.venues.paper.ledger import safe_params
from markets.venues.paper.lies import View, as_it_is
from markets.venues.paper.model import Account, Market
from markets.venues.paper.rules import Reason, Refused
from markets.venues.paper.venue import Reply, Request, Venue

PREFIX: Final = "/api/v1/"
PAGE: Final = 100
CREDITS: Final = 1_250
"""Per minute, times ten, as the venue counts them for an address it does not know."""
SOCKET_KINDS: Final = frozenset(
    {"create_order", "create_market_order", "cancel_order", "cancel_all_orders"}
)
"""What may be asked for over a socket as well."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class Call:
    """One request being answered. `more` is what stands beside `data` in the envelope."""

    venue: Venue
    params: Mapping[str, Any]
    now_ns: int
    view: View = as_it_is
    label: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        """The account that signed, or that is asked about: reads need no key."""
        if self.label is None:
            found = self.venue.credentials.get(self.text("account"))
            if found is None:
                raise PacificaError(1, "Account not found", status=404)
            self.label = found[0]
        return self.view(self.venue.engine.accounts[self.label])

    def market(self) -> Market:
        return self.venue.engine.market(self.text("symbol"))

    def text(self, name: str) -> str:
        value = self.params.get(name)
        if not isinstance(value, str) or not value:
            raise malformed(f"Invalid request: {name}")
        return value

    def decimal(self, name: str) -> Decimal:
        try:
            return finite_decimal(self.text(name), name=name)
        except InvalidNumber:
            raise malformed(f"Invalid request: {name}") from None

    def whole(self, name: str, default: int = 0) -> int:
        value = self.params.get(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise malformed(f"Invalid request: {name}")
        return value

    def flag(self, name: str) -> bool:
        value = self.params.get(name, False)
        if not isinstance(value, bool):
            raise malformed(f"Invalid request: {name}")
        return value

    def client_id(self) -> str | None:
        value = self.params.get("client_order_id")
        if value is None:
            return None
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise malformed("Invalid request: client_order_id")
        return value

    def page(self, rows: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return one page of (id, row), newest first, and say where the next one starts."""
        before = self.whole("cursor", 1 << 62)
        left = sorted((row for row in rows if row[0] < before), reverse=True, key=lambda r: r[0])
        shown = left[: min(self.whole("limit", PAGE), PAGE)]
        has_more = len(left) > len(shown)
        self.more = {"next_cursor": str(shown[-1][0]) if has_more else None, "has_more": has_more}
        return [row for _, row in shown]


Handler = Callable[[Call], Any]
READ_COSTS: Final[Mapping[str, int]] = {"account/balance/history": 120}
"""Reads that cost more than one credit, in tenths."""


@dataclass(frozen=True, slots=True)
class Post:
    """A signed operation: the name that is signed, and its cost in tenths of a credit."""

    kind: str
    handler: Handler
    cost: int = 10


class RestDialect:
    """Answers requests by two tables; a refusal is a code and a text, never an exception."""

    def __init__(
        self, venue: Venue, reads: Mapping[str, Handler], posts: Mapping[str, Post]
    ) -> None:
        self._venue = venue
        self._reads = reads
        self._posts = posts
        self._used: Counter[str] = Counter()
        self._minute = 0

    def handle(self, request: Request) -> Reply:
        now_ns = self._venue.now_ns()
        call = Call(self._venue, _parameters(request), now_ns, request.view)
        headers = self._headers(now_ns)
        try:
            data = self._answer(request, call, headers)
        except (PacificaError, Refused) as error:
            problem = refusal(error.reason) if isinstance(error, Refused) else error
            return self._refusal(call.params, headers, problem, problem.status)
        body = {"success": True, "data": data, "error": None, "code": None, **call.more}
        return self._reply(call.params, headers, 200, None, body)

    def act(self, request_id: object, params: Mapping[str, Any], *, address: str) -> bytes:
        """Answer one signed operation asked for over a socket: {its name: its signed body}."""
        kind, asked = next(iter(params.items()), ("", None))
        body = asked if isinstance(asked, dict) else {}
        now_ns = self._venue.now_ns()
        answer: dict[str, Any] = {"id": request_id, "type": kind, "t": now_ns // 1_000_000}
        try:
            data = self._act(kind, Call(self._venue, body, now_ns), address)
            named = {"I": body.get("client_order_id"), "i": body.get("order_id")}
            placed = {"s": body.get("symbol"), **named}
            if isinstance(data, dict) and "order_id" in data:
                placed["i"] = data["order_id"]
            is_count = isinstance(data, dict) and "order_id" not in data
            answer |= {"code": 200, "data": data if is_count else placed}
        except (PacificaError, Refused) as error:
            problem = refusal(error.reason) if isinstance(error, Refused) else error
            answer |= {"code": _socket_code(problem), "err": problem.message}
        return msgspec.json.encode(answer)

    def _act(self, kind: str, call: Call, address: str) -> Any:
        post = next((item for item in self._posts.values() if item.kind == kind), None)
        if post is None or kind not in SOCKET_KINDS:
            raise malformed(f"Invalid request: {kind}")
        self._pay(address, post.cost, call.now_ns // 10**9, {})
        return self._entered(post, call)

    def _entered(self, post: Post, call: Call) -> Any:
        call.label = door.enter(self._venue, post.kind, call.params, call.now_ns // 1_000_000)
        return post.handler(call)

    def subject(self, request: Request) -> Subject:
        params = _parameters(request)
        name = request.path.removeprefix(PREFIX)
        label = self._claimed(params) or ""
        return request_subject(request.method, request.path, name, params, label)

    def refused(self, request: Request, reason: Reason, *, status: int | None) -> Reply:
        """Return a refusal for `reason` without looking at the request any further."""
        problem = refusal(reason)
        headers = self._headers(self._venue.now_ns())
        status = problem.status if status is None else status
        return self._refusal(_parameters(request), headers, problem, status)

    def _headers(self, now_ns: int) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Date": formatdate(now_ns // 10**9, usegmt=True),
        }

    def _refusal(
        self,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        problem: PacificaError,
        status: int,
    ) -> Reply:
        body = {
            "success": False,
            "data": None,
            "error": problem.message,
            "code": problem.code,
            "error_id": problem.error_id,
        }
        return self._reply(params, headers, status, problem.code, body)

    def _reply(
        self,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        status: int,
        code: int | None,
        body: Mapping[str, Any],
    ) -> Reply:
        return Reply(
            status=status,
            body=msgspec.json.encode(body),
            headers=headers,
            account=self._claimed(params),
            code=code,
            params=_shown(params),
        )

    def _claimed(self, params: Mapping[str, Any]) -> str | None:
        found = self._venue.credentials.get(str(params.get("account", "")))
        return found[0] if found else None

    def _answer(self, request: Request, call: Call, headers: dict[str, str]) -> Any:
        path = request.path.removeprefix(PREFIX)
        post = self._posts.get(path) if request.method == "POST" else None
        read = self._reads.get(path) if request.method == "GET" else None
        cost = post.cost if post else READ_COSTS.get(path, 10)
        self._pay(request.address, cost, call.now_ns // 10**9, headers)
        if post is not None:
            return self._entered(post, call)
        if read is None:
            raise PacificaError(404, f"{request.method} {request.path} not found", status=404)
        return read(call)

    def _pay(self, address: str, cost: int, second: int, headers: dict[str, str]) -> None:
        """Take an address's credits and tell what is left, as the IETF's RateLimit fields do."""
        if second // 60 != self._minute:
            self._minute, self._used = second // 60, Counter()
        self._used[address] += cost
        used = self._used[address]
        left = max(0, CREDITS - used)
        headers["ratelimit"] = f'"credits";r={left};t={60 - second % 60}'
        headers["ratelimit-policy"] = f'"credits";q={CREDITS};w=60'
        if self._venue.config.enforce_limits and used > CREDITS:
            raise PacificaError(429, "Rate limit exceeded", status=429)


def _socket_code(problem: PacificaError) -> int:
    """Return the code of a refusal over a socket: 401 for a signature, 420 of the engine."""
    if problem.error_id == "signature_verification_failed":
        return 401
    return 420 if problem.status == 422 else problem.status


def _parameters(request: Request) -> Mapping[str, Any]:
    if request.method == "GET":
        return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True))
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _shown(params: Mapping[str, Any]) -> dict[str, str]:
    return safe_params(
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in params.items()
        }
    )
