"""Enumerations of accounts and proxies; the values are those on the wire."""

from collections.abc import Iterable
from enum import StrEnum


class AccountStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    EMERGENCY = "emergency"


class ProxyScheme(StrEnum):
    HTTP = "http"
    HTTPS = "https"
    SOCKS5 = "socks5"


class RotationPolicy(StrEnum):
    MANUAL = "manual"
    ON_FAILURE = "on-failure"
    INTERVAL = "interval"


class ProxyStatus(StrEnum):
    ACTIVE = "active"
    ROTATING = "rotating"
    FAILED = "failed"


class StopLossAction(StrEnum):
    PAUSE = "pause"
    REDUCE = "reduce"
    FLATTEN = "flatten"


class SyncStatus(StrEnum):
    """How a sync ended; `partial` means some queries failed and their facts stayed unknown."""

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


class SyncProblem(StrEnum):
    """What kept a look at an account from telling all, the gravest first; the codes of errors."""

    AUTHENTICATION_FAILED = "authentication_failed"
    MISSING_CREDENTIAL = "missing_credential"
    PROXY_REFUSED = "proxy_refused"
    NOT_SENT = "not_sent"
    VENUE_UNAVAILABLE = "venue_unavailable"
    RATE_LIMITED = "rate_limited"
    VENUE_ERROR = "venue_error"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    HISTORY_UNREAD = "history_unread"

    @property
    def is_of_a_part(self) -> bool:
        """Tell whether the venue answered, and only something beside the account is missing."""
        return self in (SyncProblem.UNKNOWN_INSTRUMENT, SyncProblem.HISTORY_UNREAD)

    @classmethod
    def of(cls, code: str) -> "SyncProblem":
        """Return the problem that an error's code names; VENUE_ERROR for one not listed."""
        return cls(code) if code in set(cls) else cls.VENUE_ERROR

    @classmethod
    def gravest(cls, problems: Iterable["SyncProblem"]) -> "SyncProblem | None":
        """Return the first of them in order, None for none."""
        found = set(problems)
        return next((problem for problem in cls if problem in found), None)
