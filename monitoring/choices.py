"""Enumerations of monitoring; the values are those on the wire."""

from enum import StrEnum


class AlertState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class JobStatus(StrEnum):
    """`failed` is expected trouble, `errored` is a bug of ours."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    ERRORED = "errored"
