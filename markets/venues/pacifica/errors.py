"""What an answer of Pacifica proves, by status, numeric code and error id.

Codes: the vendor's "Error codes" page, as ccxt 4.5.90 lists them too.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from controlplane.kernel.secrets import redact
from markets.venues.checks import UNREADABLE
from markets.venues.errors import (
    AuthenticationFailed,
    ClockRefused,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRejected,
)
from markets.venues.ratelimit.terms import Scope
from markets.venues.shared import HttpAnswer, retry_after_header

UNDECIDED_CODES: Final = frozenset({14, 26, 27})
"""Database error, channel closed, response dropped: the engine may have done it."""
INTERNAL: Final = 0
"""Undecided by itself; with an error id it is a plain refusal."""
NOT_FOUND_CODES: Final = frozenset({6, 37})
"""Order not found; a client order id that was never used."""
DUPLICATE_CODE: Final = 36
"""An order with our id exists: go and read it."""
WINDOW_SECONDS: Final = 60
"""Credits come back over so long ("Rate limits")."""
_UNSPECIFIED: Final = "unspecified"
_REFUSALS: Final = frozenset({200, 400, 401, 403, 404, 422})
_SECONDS_TO_REFRESH: Final = re.compile(r"(?:^|[;,\s])t=(\d{1,6})\b")


class _Problem(msgspec.Struct):
    success: bool
    error: str | None = None
    code: int | None = None
    error_id: str | None = None


def failure(answer: HttpAnswer, *, scope: Scope = Scope.EXIT) -> VenueError | None:
    """Return what went wrong, or None when the body is worth reading.

    `scope` is what the credits of this request are counted by.
    """
    problem = _problem(answer.body)
    message = redact((problem.error or "")[:300]) if problem else _readable(answer.body)
    if answer.status in (429, 418) or (problem and problem.code == 429):
        return RateLimited(
            f"HTTP {answer.status}: {message}",
            retry_after=_retry_after(answer.headers),
            scope=scope,
        )
    if problem is None or answer.status not in _REFUSALS:
        return OutcomeUnknown(f"HTTP {answer.status}: {message}")
    if problem.success:
        if answer.status == 200:
            return None
        return OutcomeUnknown(f"HTTP {answer.status}, but said to be a success")
    return _refusal(problem, message)


def _refusal(problem: _Problem, message: str) -> VenueError:
    code = problem.code
    named = problem.error_id if problem.error_id not in (None, _UNSPECIFIED) else None
    if named == "signature_verification_failed" or code in (401, 403):
        return AuthenticationFailed(f"{code}: {message}")
    if code == 400 and "not authorized" in message:
        return AuthenticationFailed(f"{code}: {message}")
    if code == 400 and message.startswith("Invalid message"):
        return ClockRefused("400", message)
    if code is None or code in UNDECIDED_CODES or code >= 500 or (code == INTERNAL and not named):
        return OutcomeUnknown(f"{code}: {message}")
    if code == DUPLICATE_CODE:
        return OutcomeUnknown(f"An order with this id exists already ({code}: {message}).")
    if code in NOT_FOUND_CODES:
        return OrderNotFound(str(code), message)
    return VenueRejected(named or str(code), message)


def _problem(body: bytes) -> _Problem | None:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except UNREADABLE:
        return None


def _readable(body: bytes) -> str:
    return redact(body[:200].decode("utf-8", "replace"))


def _retry_after(headers: Mapping[str, str]) -> int:
    """Return whole seconds to wait: the header's, else the credits' refresh, else a window."""
    told = retry_after_header(headers)
    if told is not None:
        return told
    for name, value in headers.items():
        found = _SECONDS_TO_REFRESH.search(value) if name.lower() == "ratelimit" else None
        if found:
            return max(1, int(found[1]))
    return WINDOW_SECONDS
