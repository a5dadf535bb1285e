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


class BreakStatus(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"
    ACCEPTED = "accepted"
