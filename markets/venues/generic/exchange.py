"""ccxt's class of a venue over our own transport: it names, signs and reads; we send, once."""

import asyncio
import copy
import json
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from weakref import WeakKeyDictionary

from markets.venues.ccxt_classes import exchange_class
from markets.venues.checks import BadAnswer
from markets.venues.errors import NotSent, RateLimited
from markets.venues.generic.facts import OPTIONS, venue_facts
from markets.venues.generic.limits import is_throttled, terms, weight
from markets.venues.generic.names import FIELDS, check_venue
from markets.venues.moments import wall_ms
from markets.venues.ratelimit.gates import open_gate
from markets.venues.ratelimit.limiter import Gate, Permit
from markets.venues.ratelimit.terms import Cost, Kind
from markets.venues.shared import (
    MAX_ANSWER,
    HttpAnswer,
    ServerClock,
    Transport,
    assert_sends_once,
    retry_after_header,
    server_clock,
)
from markets.venues.types import Credentials, Endpoint

DEFAULT_BACKOFF_SECONDS: Final = 30
LISTING_SECONDS: Final = 3600.0
"""How old the shared listing may be when something is read; what acts takes it as it is."""
_HOST: Final = re.compile(r"^https://[^/]+")
_BUILDER: Final = re.compile(r"builder", re.IGNORECASE)


@dataclass(slots=True)
class Flight:
    """What one act or query did on the wire."""

    max_bytes: int = MAX_ANSWER
    is_whole: bool = False
    """Whether rows about another contract are shown too: where one order was asked for, a lie."""
    sent: int = 0
    """Requests of which a byte may have left."""
    kind: Kind = Kind.READ
    """How urgent it is to our own limiter."""
    answer: HttpAnswer | None = None
    """The last complete answer, and what it says; None when it is no JSON."""
    said: Any = None


FLIGHT: ContextVar[Flight] = ContextVar("flight")
_PERMIT: ContextVar[Permit] = ContextVar("permit")


@dataclass(slots=True)
class Listing:
    """The markets of one venue as last read by anybody in this process."""

    exchange: Any = None
    read_at: float = 0.0
    locks: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = field(
        default_factory=WeakKeyDictionary
    )

    def reading(self) -> asyncio.Lock:
        """Return the running loop's lock, so that many accounts starting at once read once."""
        return self.locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.read_at > LISTING_SECONDS


@cache
def _listing(name: str, rest: str) -> Listing:
    return Listing()


class GenericExchange:
    """Mixed into a class of ccxt: its requests go through `transport`, its time is `clock`."""

    transport: Transport
    gate: Gate
    clock: ServerClock
    listing: Listing
    markets: Mapping[str, Mapping[str, Any]] | None

    def milliseconds(self) -> int:
        return self.clock.now_ms() if self.clock.is_known else wall_ms()

    def safe_market(
        self,
        market_id: str | None = None,
        market: Any = None,
        delimiter: str | None = None,
        market_type: str | None = None,
    ) -> Any:
        """Take no id that the venue does not list for the contract that was asked about."""
        known: Any = super()
        listed = getattr(self, "markets_by_id", None)
        is_foreign = market_id is not None and listed is not None and market_id not in listed
        return known.safe_market(market_id, None if is_foreign else market, delimiter, market_type)

    def filter_by_value_since_limit(
        self, rows: Any, field: Any, value: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Leave times to us: a row that is dated wrongly must not vanish."""
        known: Any = super()
        return known.filter_by_value_since_limit(rows, field, _unless_whole(value))

    def filter_by_since_limit(self, rows: Any, *_: Any, **__: Any) -> Any:
        """Leave times to us here too."""
        known: Any = super()
        return known.filter_by_since_limit(rows)

    async def initialize_client(self) -> bool:
        """Do not approve a builder's fee or name a referrer, as some classes would."""
        return True

    async def fetch2(
        self, path: Any, api: Any = "public", method: Any = "GET", params: Any = None, *more: Any
    ) -> Any:
        """Sign and send when the limits allow it: what is signed has not waited."""
        known: Any = self
        config = more[0] if more else {}
        units = known.calculate_rate_limiter_cost(api, method, path, params or {}, config)
        flight = FLIGHT.get()
        permit = await self.gate.enter(Cost(flight.kind, weight(units)))
        token = _PERMIT.set(permit)
        try:
            above: Any = super()
            return await above.fetch2(path, api, method, params or {}, config)
        except NotSent:
            permit.unsent()
            raise
        finally:
            permit.lost()  # unless it was answered, or never left
            _PERMIT.reset(token)

    async def fetch(
        self, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        """Send once; raise what the class makes of the answer, or return what it says."""
        _refuse_builder(url, body)
        flight, permit = FLIGHT.get(), _PERMIT.get()
        sent_headers = self.prepare_request_headers(headers)  # type: ignore[attr-defined]
        flight.answer = flight.said = None
        flight.sent += 1
        try:
            answer = await self.transport.send(
                method, url, headers=sent_headers, body=body, max_bytes=flight.max_bytes
            )
        except NotSent:
            flight.sent -= 1
            raise
        flight.answer, flight.said = answer, parsed(answer.body)
        try:
            self._judge(answer, flight.said, (url, method, sent_headers, body))
        except Exception as error:
            await permit.answered(answer.status, (), _refusal(answer, error))
            raise
        await permit.answered(answer.status, (), _refusal(answer, None))
        if flight.said is None:
            raise BadAnswer("malformed", f"HTTP {answer.status}, no JSON")
        return flight.said

    def _judge(self, answer: HttpAnswer, said: Any, request: tuple[Any, ...]) -> None:
        url, method, headers, body = request
        reason = HTTPStatus(answer.status).phrase if answer.status in _STATUSES else ""
        text = answer.body.decode("utf-8", "replace")
        known: Any = self
        known.handle_errors(
            answer.status, reason, url, method, dict(answer.headers), text, said, headers, body
        )
        known.handle_http_status_code(answer.status, reason, url, method, text)

    async def share_markets(self, *, reload: bool = False, fresh: bool = False) -> None:
        """Have the venue's markets: those another instance read, or read and shared by us.

        `fresh` asks for a listing that is not old, `reload` for one read now.
        """
        known: Any = self
        shared = self.listing
        if not (reload or shared.exchange is None or (fresh and shared.is_old)):
            if known.markets is not shared.exchange.markets:
                known.set_markets_from_exchange(shared.exchange)
            return
        before = shared.read_at
        async with shared.reading():
            if shared.read_at == before:
                await known.load_markets(True)
                shared.exchange, shared.read_at = _keyless(self), time.monotonic()
        known.set_markets_from_exchange(shared.exchange)


def _unless_whole(value: Any) -> Any:
    flight = FLIGHT.get(None)
    return None if flight is not None and flight.is_whole else value


_STATUSES: Final = frozenset(HTTPStatus)


def retry_after(answer: HttpAnswer) -> int:
    """Return the seconds to wait that an answer tells, or a cautious default."""
    told = retry_after_header(answer.headers)
    return DEFAULT_BACKOFF_SECONDS if told is None else told


def _refusal(answer: HttpAnswer, error: Exception | None) -> RateLimited | None:
    if not is_throttled(answer.status, error):
        return None
    return RateLimited(f"HTTP {answer.status}", retry_after=retry_after(answer))


def _keyless(exchange: Any) -> Any:
    """Return a copy that only holds the markets."""
    kept: Any = copy.copy(exchange)
    for key in FIELDS:
        setattr(kept, key, "")
    kept.markets_loading = None
    # ccxt copies these along with the markets and stumbles over one that was never needed.
    helpers = exchange.options.get("marketHelperProps") or ()
    kept.options = {**dict.fromkeys(helpers), **exchange.options}
    return kept


def parsed(body: bytes) -> Any:
    """Return JSON with every number as the venue's own text; None for what is none."""
    try:
        return json.loads(body, parse_float=str, parse_int=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _refuse_builder(url: str, body: Any) -> None:
    """Raise NotSent for a request that would pay a builder or approve of one."""
    if _BUILDER.search(url) or (isinstance(body, str) and _BUILDER.search(body)):
        raise NotSent("The request names a builder, who would be paid for it.")


@cache
def _template(name: str) -> Any:
    """Return the instance all others of a venue are copied from; building one takes 5-10 ms."""
    check_venue(name)
    made = type(f"Generic_{name}", (GenericExchange, exchange_class(name)), {})
    exchange: Any = made({"enableRateLimit": False, "number": str})
    exchange.options = {**exchange.options, **OPTIONS, **venue_facts(name).options}
    exchange.has = {**exchange.has, "fetchCurrencies": False}
    assert_sends_once(exchange)
    return exchange


def make_exchange(endpoint: Endpoint, credentials: Credentials, *, proxy_url: str | None) -> Any:
    """Return one account's (or nobody's) instance; raises UnknownVenue."""
    exchange = copy.copy(_template(endpoint.ccxt_id))
    exchange.options = dict(exchange.options)
    if endpoint.rest:
        exchange.urls = {**exchange.urls, "api": _moved(exchange.urls["api"], endpoint.rest)}
    for key, name in FIELDS.items():
        setattr(exchange, key, getattr(credentials, name).reveal())
    exchange.transport = Transport(proxy_url)
    exchange.gate = open_gate(
        endpoint.rest or f"ccxt:{endpoint.ccxt_id}",
        proxy_url,
        terms(exchange),
        public=exchange.apiKey or exchange.walletAddress,
    )
    exchange.clock = server_clock(endpoint.rest or f"ccxt:{endpoint.ccxt_id}")
    exchange.listing = _listing(endpoint.ccxt_id, endpoint.rest)
    return exchange


def _moved(urls: Any, rest: str) -> Any:
    """Return the class's addresses with `rest` for every host."""
    if isinstance(urls, dict):
        return {key: _moved(value, rest) for key, value in urls.items()}
    return _HOST.sub(rest, urls) if isinstance(urls, str) else urls
