"""What a call through ccxt proves, by what was on the wire and never by its exception alone.

A refusal needs a complete, readable answer of a deciding status to the only request that was sent,
and one that the venue's class knows by the venue's own code. All else leaves an act unknown: ccxt's
plain ExchangeError covers codes it does not know (OKX 51149 and Bybit 10016, "may be accepted").
"""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from controlplane.kernel.secrets import redact
from markets.venues.caller import reading
from markets.venues.checks import EPOCH, BadAnswer, clock_ms
from markets.venues.errors import (
    AlreadySo,
    AuthenticationFailed,
    ClockRefused,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRejected,
    VenueUnavailable,
)
from markets.venues.generic.exchange import FLIGHT, Flight, retry_after
from markets.venues.moments import check_time
from markets.venues.ratelimit.terms import Kind
from markets.venues.shared import MAX_ANSWER, MAX_LISTING

Result = TypeVar("Result")
Work = Callable[[], Awaitable[Any]]

_THROTTLED: Final = (429, 418)
_DECIDED: Final = frozenset({200, 201, 400, 401, 403, 404, 422})
"""The statuses of an answer in which a venue itself may say that it refused."""
_REFUSALS: Final = frozenset(
    {
        "BadRequest",
        "InsufficientFunds",
        "InvalidOrder",
        "NotSupported",
        "OperationRejected",
        "PermissionDenied",
    }
)
_UNCHANGED: Final = frozenset({"MarginModeAlreadySet", "NoChange"})
_UNCHANGED_CODES: Final = frozenset({"110043"})
"""Bybit's "leverage not modified", which ccxt files under bad requests."""
_EXISTS: Final = re.compile(r"duplicat|already exist|same client|repeated", re.IGNORECASE)
_CODES: Final = ("retCode", "sCode", "code", "error_code", "errorCode", "label")


class Calls:
    """Makes calls on one exchange instance."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange

    async def act(
        self, work: Work, parse: Callable[[Any], Result], *, kind: Kind = Kind.ORDER
    ) -> Result:
        """Act once. Whatever may have left us and is not answered with proof is unknown."""
        try:
            await self._make_ready(fresh=False)
        except RateLimited:
            raise
        except VenueError as error:
            raise NotSent(f"Nothing was sent: {error.message}") from None
        return await self._fly(work, parse, is_act=True, kind=kind)

    async def read(
        self, work: Work, parse: Callable[[Any], Result], *, is_whole: bool = False
    ) -> Result:
        """Query and parse; every failure but throttling, a bad key and a missing order is
        VenueUnavailable. With `is_whole` ccxt leaves out no row about another contract.
        """
        with reading():
            await self._make_ready(fresh=True)
            return await self._fly(work, parse, is_whole=is_whole)

    async def list_markets(self) -> Any:
        """Read the venue's listing now, for everybody in this process."""
        with reading():
            await self._list(reload=True)
            return self._exchange.markets

    async def server_time(self) -> datetime:
        """Ask the venue for its time now; raises VenueUnavailable or RateLimited."""
        if not self._exchange.has["fetchTime"]:
            raise VenueUnavailable(f"ccxt cannot ask {self._exchange.id} for its time.")
        with reading():
            return EPOCH + timedelta(milliseconds=await self._time())

    def now_ms(self) -> int:
        """Return the venue's time, or ours where the venue tells none."""
        return int(self._exchange.milliseconds())

    async def close(self) -> None:
        await self._exchange.transport.close()

    # Getting ready: what is asked beforehand is no part of an act

    async def _make_ready(self, *, fresh: bool) -> None:
        await self._list(fresh=fresh)
        clock = self._exchange.clock
        if self._exchange.has["fetchTime"] and (clock.is_stale if fresh else not clock.is_known):
            async with clock.measuring():
                if clock.is_stale:
                    sent_ns = time.monotonic_ns()
                    server_ms = await self._time()
                    clock.learn(server_ms, sent_ns=sent_ns, received_ns=time.monotonic_ns())

    async def _list(self, *, reload: bool = False, fresh: bool = False) -> None:
        share = partial(self._exchange.share_markets, reload=reload, fresh=fresh)
        await self._fly(share, lambda _nothing: None, max_bytes=MAX_LISTING)

    async def _time(self) -> int:
        return await self._fly(self._exchange.fetch_time, _clock)

    async def _fly(
        self,
        work: Work,
        parse: Callable[[Any], Result],
        *,
        is_act: bool = False,
        is_whole: bool = False,
        max_bytes: int = MAX_ANSWER,
        kind: Kind = Kind.READ,
    ) -> Result:
        flight = Flight(max_bytes=max_bytes, is_whole=is_whole, kind=kind)
        token = FLIGHT.set(flight)
        try:
            return check_time(parse(await work()), now_ms=self.now_ms())
        except Exception as error:
            proven = self._proven(error, flight, is_act=is_act)
            if isinstance(proven, OutcomeUnknown) and flight.answer is not None:
                answer = flight.answer
                body = proven.body or answer.body
                proven = OutcomeUnknown(proven.message, body=body, status=answer.status)
            raise proven from None
        finally:
            FLIGHT.reset(token)

    # What came of it

    def _proven(self, error: Exception, flight: Flight, *, is_act: bool) -> VenueError:
        if flight.sent == 0:
            return error if isinstance(error, NotSent | RateLimited) else NotSent(_text(error))
        if is_act and isinstance(error, RateLimited):
            return OutcomeUnknown(_text(error))  # what was sent before may be the act
        if isinstance(error, RateLimited | AuthenticationFailed | OrderNotFound):
            return error
        if isinstance(error, VenueError | BadAnswer) or flight.answer is None:
            return OutcomeUnknown(_text(error))
        if is_act and flight.sent > 1:
            return OutcomeUnknown(_text(error))
        return self._answered(error, flight)

    def _answered(self, error: Exception, flight: Flight) -> VenueError:
        assert flight.answer is not None
        status, kinds = flight.answer.status, {kind.__name__ for kind in type(error).__mro__}
        body = flight.answer.body[:300].decode("utf-8", "replace")
        message = redact(f"{type(error).__name__}, HTTP {status}: {body}")
        if status in _THROTTLED:
            return RateLimited(message, retry_after=retry_after(flight.answer))
        if status not in _DECIDED or not isinstance(flight.said, dict | list):
            return OutcomeUnknown(message)
        if kinds & {"RateLimitExceeded", "DDoSProtection"}:
            return RateLimited(message, retry_after=retry_after(flight.answer))
        if "InvalidNonce" in kinds:
            self._exchange.clock.doubt()
            return ClockRefused(_code(flight.said, error), message)
        if "OrderNotFound" in kinds:
            return OrderNotFound(_code(flight.said, error), message)
        if "DuplicateOrderId" in kinds or _EXISTS.search(body):
            return OutcomeUnknown(f"An order with this id may exist already: {message}")
        if "AuthenticationError" in kinds and "PermissionDenied" not in kinds:
            return AuthenticationFailed(message)
        code = _code(flight.said, error)
        if kinds & _UNCHANGED or code in _UNCHANGED_CODES:
            return AlreadySo(code, message)
        if kinds & _REFUSALS:
            return VenueRejected(code, message)
        return OutcomeUnknown(message)


def _clock(told: Any) -> int:
    if not str(told).isdigit():
        raise BadAnswer("bad-time", str(told))
    return clock_ms(int(told), "time")


def _code(said: Any, error: Exception) -> str:
    """Return the venue's own code, the innermost one first; else ccxt's name for it."""
    row = said if isinstance(said, dict) else {}
    rows = row.get("data")
    inner = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    for place in (inner, row):
        for name in _CODES:
            if isinstance(place.get(name), str) and place[name]:
                return str(place[name])[:60]
    return type(error).__name__


def _text(error: Exception) -> str:
    message = error.message if isinstance(error, VenueError) else str(error)
    return redact(f"{message or type(error).__name__}"[:300])
