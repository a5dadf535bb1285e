"""When hedging of a book, or by a module, has run wild and must wait for a person."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby, takewhile
from operator import attrgetter
from typing import Final

from hedging.domain.books import Book

EXECUTIONS_WITHIN: Final = timedelta(hours=1)
FAILURES_WITHIN: Final = timedelta(minutes=10)
"""Rejects are counted as long as failures."""
LONGEST_WAIT: Final = timedelta(seconds=60)


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


Target = tuple[str, str]
"""A scope and whose it is."""


@dataclass(frozen=True, slots=True)
class Throttles:
    """Which books and modules are off, and when those that were released were so last."""

    standing: frozenset[Target] = frozenset()
    released_at: Mapping[Target, datetime] = field(default_factory=dict)

    def hold(self, book: Book) -> bool:
        """Tell whether the book, or a module of it, is off."""
        modules = ((ThrottleScope.MODULE, name) for name in book.module_ids)
        return not self.standing.isdisjoint({(ThrottleScope.BOOK, book.key), *modules})

    def since(self, moment: datetime, scope: ThrottleScope, target: str) -> datetime:
        """Return from when on to count: what came before the last release does not any more."""
        return max(moment, self.released_at.get((scope, target), moment))


NO_THROTTLES: Final = Throttles()


@dataclass(frozen=True, slots=True)
class PastHedge:
    """A hedge as far as the next one depends on it; `finished_at` is None while it runs."""

    symbol: str
    has_failed: bool
    is_manual: bool
    created_at: datetime
    finished_at: datetime | None


def book_pace(past: Iterable[PastHedge], throttles: Throttles, key: str, now: datetime) -> Pace:
    """Return the pace of a book's hedges, those a person asked for left out."""
    begun = throttles.since(now - EXECUTIONS_WITHIN, ThrottleScope.BOOK, key)
    failing = throttles.since(now - FAILURES_WITHIN, ThrottleScope.BOOK, key)
    counted = [it for it in past if not it.is_manual and it.created_at >= begun]
    failures = sum(it.has_failed and it.created_at >= failing for it in counted)
    return Pace(executions=len(counted), failures=failures)


def busy(past: Iterable[PastHedge]) -> set[str]:
    """Return the assets being hedged."""
    return {hedge.symbol for hedge in past if hedge.finished_at is None}


def waits(past: Iterable[PastHedge], now: datetime) -> dict[str, datetime]:
    """Return when to try again the assets whose hedges failed in a row; `past` is newest first.

    The wait after the last failure grows: 1 s, 2 s, 4 s and so on.
    """
    recent = [
        hedge
        for hedge in past
        if hedge.finished_at is None or hedge.finished_at >= now - FAILURES_WITHIN
    ]
    found: dict[str, datetime] = {}
    for symbol, hedges in groupby(sorted(recent, key=attrgetter("symbol")), attrgetter("symbol")):
        failed = list(takewhile(lambda hedge: hedge.has_failed, hedges))
        if failed and (last := failed[0].finished_at) is not None:
            wait = timedelta(seconds=2 ** min(len(failed) - 1, 6))
            found[symbol] = last + min(LONGEST_WAIT, wait)
    return found
