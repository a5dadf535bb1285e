"""Enumerations of accounts and proxies; the values are those on the wire."""

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
