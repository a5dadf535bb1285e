"""When hedging of a book, or by a module, has run wild and must wait for a person."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

EXECUTIONS_WITHIN: Final = timedelta(hours=1)
FAILURES_WITHIN: Final = timedelta(minutes=10)
"""Rejects are counted as long as failures."""


class ThrottleScope(StrEnum):
    BOOK = "book"
    MODULE = "module"


class ThrottleCause(StrEnum):
    EXECUTIONS = "executions"
    FAILURES = "failures"
    REJECTS = "rejects"


@dataclass(frozen=True, slots=True)
class Pace:
    """How many hedges, failed hedges, or orders refused by venues there were lately."""

    executions: int = 0
    failures: int = 0
    rejects: int = 0


def exceeded(pace: Pace, most: Pace) -> ThrottleCause | None:
    """Return which of the counts has reached the most allowed, or None."""
    if pace.failures >= most.failures:
        return ThrottleCause.FAILURES
    if pace.rejects >= most.rejects:
        return ThrottleCause.REJECTS
    return ThrottleCause.EXECUTIONS if pace.executions >= most.executions else None
