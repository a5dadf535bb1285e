"""Errors that carry a code, a text for people and the numbers behind it."""

from collections.abc import Mapping
from typing import Any


class ControlPlaneError(Exception):
    """A refusal we mean: shown to people and sent over the API as code, message, details."""

    code = "error"

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})


class InvalidNumber(ControlPlaneError, ValueError):
    """A value that is no finite decimal in the range we store."""

    code = "invalid_number"

    def __init__(self, name: str, value: object) -> None:
        shown = repr(value)[:40]
        super().__init__(f"{name} is not a usable number: {shown}", details={"field": name})


class Denied(ControlPlaneError):
    """Our own rule refused an act (never the venue: that is a rejection)."""

    code = "denied"

    def __init__(self, code: str, message: str, **numbers: object) -> None:
        super().__init__(message, details={key: str(value) for key, value in numbers.items()})
        self.code = code


class Conflict(ControlPlaneError):
    """The thing is not in the state the act needs, or another one got there first."""

    code = "conflict"


class IllegalMove(Conflict):
    """A state machine was asked for a move its table does not have."""

    code = "illegal_move"
