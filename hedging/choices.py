"""Enumerations of hedging; the values are those on the wire."""

from enum import StrEnum


class TriggerReason(StrEnum):
    UTILIZATION = "utilization"
    DELTA = "delta"
    FAILOVER = "failover"
    MANUAL = "manual"


class HedgeResult(StrEnum):
    SUCCESS = "success"
    PARTIAL = "partial"
    FAIL = "fail"


class BreakKind(StrEnum):
    """How our record and the venue's differ."""

    ORDER_MISSING_AT_VENUE = "order-missing-at-venue"
    ORDER_UNKNOWN_TO_US = "order-unknown-to-us"
    FILL_UNKNOWN_TO_US = "fill-unknown-to-us"
    POSITION_MISMATCH = "position-mismatch"
    BALANCE_MISMATCH = "balance-mismatch"
    FUNDING_MISMATCH = "funding-mismatch"


class BreakStatus(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"
    ACCEPTED = "accepted"
