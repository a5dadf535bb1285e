"""What a /fapi answer proves, by status and numeric code, never by ccxt's classes.

Codes: the vendors' "Error Code" pages for USDⓈ-M futures and for futures v3. Aster's table is a
part of Binance's with the same meanings, so one classification serves both.
"""

import re
from typing import Any, Final

import msgspec

from controlplane.kernel.secrets import redact
from markets.venues.errors import (
    AlreadySo,
    AuthenticationFailed,
    ClockRefused,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRejected,
)
from markets.venues.ratelimit.terms import Scope
from markets.venues.shared import MAX_BACKOFF_SECONDS, HttpAnswer, retry_after_header

UNDECIDED_CODES: Final = frozenset({-1000, -1001, -1006, -1007, -1016})
"""The venue itself does not know: unknown error, disconnected, unexpected response, timeout,
shutting down."""
DUPLICATE_CODES: Final = frozenset({-4115, -4116})
"""An order with our id exists: go and read it."""
THROTTLE_CODES: Final = frozenset({-1003, -1008, -1015})
"""Too many requests, overloaded (not executed, says the vendor), too many orders."""
TOO_MANY_ORDERS: Final = -1015
_SCOPES: Final = {-1008: None, TOO_MANY_ORDERS: Scope.ORDERS}
"""An overload is nobody's ban; too many orders are one account's."""
AUTHENTICATION_CODES: Final = frozenset({-1002, -1022, -1099, -2014, -2015, -2017})
NOT_FOUND_CODES: Final = frozenset({-2011, -2013})
ALREADY_CODES: Final = frozenset({-4046, -4059})
"""Margin type, position side: no need to change it."""
CLOCK_CODES: Final = frozenset({-1021, -5028})

DEFAULT_BACKOFF_SECONDS: Final = 30
_BANNED_UNTIL: Final = re.compile(r"banned until (\d{13})")


def failure(answer: HttpAnswer, *, now_ms: int) -> VenueError | None:
    """Return what went wrong, or None when the body is worth reading.

    `now_ms` is the venue's clock; it bounds a ban that is given as a moment.
    """
    code, said = _code(answer.body)
    if answer.status == 200 and code is None:
        return None
    message = _readable(answer.body) if code is None else redact(said)
    if answer.status in (429, 418):
        return RateLimited(
            f"HTTP {answer.status}: {message}",
            retry_after=_retry_after(answer, message, now_ms),
            scope=Scope.ORDERS if code == TOO_MANY_ORDERS else Scope.EXIT,
        )
    if code in THROTTLE_CODES:
        return RateLimited(
            f"{code}: {message}",
            retry_after=_retry_after(answer, message, now_ms),
            scope=_SCOPES.get(code, Scope.EXIT),
        )
    if answer.status not in (200, 400, 401, 403) or code is None or code in UNDECIDED_CODES:
        return OutcomeUnknown(f"HTTP {answer.status}, code {code}: {message}")
    return _refusal(code, message)


def _refusal(code: int, message: str) -> VenueError:
    if code in DUPLICATE_CODES:
        return OutcomeUnknown(f"An order with this id exists already ({code}: {message}).")
    if code in AUTHENTICATION_CODES:
        return AuthenticationFailed(f"{code}: {message}")
    if code in NOT_FOUND_CODES:
        return OrderNotFound(str(code), message)
    if code in ALREADY_CODES:
        return AlreadySo(str(code), message)
    if code in CLOCK_CODES:
        return ClockRefused(str(code), message)
    return VenueRejected(str(code), message)


def _code(body: bytes) -> tuple[int | None, str]:
    """Return the numeric error code, None when the body carries none, and what is said to it."""
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None, ""
    code = parsed.get("code") if isinstance(parsed, dict) else None
    if isinstance(code, bool) or not isinstance(code, int) or not -100_000 < code < 0:
        return None, ""
    return code, str(parsed.get("msg", ""))[:300]


def _readable(body: bytes) -> str:
    return redact(body[:200].decode("utf-8", "replace"))


def _retry_after(answer: HttpAnswer, message: str, now_ms: int) -> int:
    """Return whole seconds to wait: the header, else the ban's end, else a cautious default."""
    told = retry_after_header(answer.headers)
    if told is not None:
        return told
    banned = _BANNED_UNTIL.search(message)
    if banned:
        seconds = (int(banned[1]) - now_ms) // 1000 + 1
        return min(max(seconds, 1), MAX_BACKOFF_SECONDS)
    return DEFAULT_BACKOFF_SECONDS
