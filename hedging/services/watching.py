"""Books that stay out of their threshold, or unknown, are told of: once for each reason."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from controlplane.kernel.events import Severity
from hedging.domain.decision import Decision, Reason
from hedging.domain.making import LONGEST_SECONDS, HedgeStyle
from hedging.facts import BookFacts
from hedging.models import HedgeDust, HedgeExecution
from hedging.services import telling

PATIENCE: Final = timedelta(seconds=3)
"""What passes sooner is the ordinary course of things and is not told."""
OVERDUE: Final = timedelta(seconds=10)
"""A book that is out of its threshold for longer is told of, whatever is tried meanwhile."""
MAY_REST: Final = timedelta(seconds=LONGEST_SECONDS) + PATIENCE
"""A hedge that rests first is on its way for so long; then it is told of like any other."""
_FOR_A_PERSON: Final = frozenset({Reason.UNALLOCATED, Reason.DUST})
"""Nothing is wrong that the system could put right."""
_QUIET: Final = frozenset({Reason.WITHIN_THRESHOLD, Reason.IN_FLIGHT})


@dataclass(slots=True)
class _Standing:
    """How a book stands in an asset: for what reason since when, and what was told of it."""

    since: datetime
    reason: Reason | None = None
    told: Reason | None = None
    out_since: datetime | None = None
    """Since when it has not been within its threshold, nor at rest for a good reason."""
    is_overdue: bool = False

    def settle(self) -> None:
        """Let it be out of its threshold no more."""
        self.out_since, self.is_overdue = None, False

    def take(self, reason: Reason, now: datetime) -> None:
        """Note why it is so now, and since when that reason holds."""
        if reason is not self.reason:
            self.reason, self.since = reason, now
        if reason in _QUIET:
            self.told = None

    def comes_overdue(self, reason: Reason, now: datetime) -> bool:
        """Tell, once, that it is out of its threshold for too long by reasons that change."""
        if reason is Reason.WITHIN_THRESHOLD or reason in _FOR_A_PERSON:
            self.settle()
            return False
        self.out_since = self.out_since or now
        if self.is_overdue or now - self.out_since < OVERDUE:
            return False
        self.is_overdue = True
        return True

    def is_news(self, reason: Reason, now: datetime) -> bool:
        """Tell whether the reason has lasted and was not told yet."""
        has_lasted = reason not in _QUIET and now - self.since >= PATIENCE
        return has_lasted and self.told is not reason


class BookWatch:
    """Remembers how each book stands in each asset. One per process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Standing] = {}

    def look(self, looks: Iterable[BookFacts], *, now: datetime) -> None:
        """Tell what has lasted, from the decisions these looks give."""
        seen = set()
        resting = HedgeExecution.objects.running().filter(
            decision_inputs__style=str(HedgeStyle.MAKER), created_at__gte=now - MAY_REST
        )
        making = set(resting.values_list("book", "symbol"))
        dust = set(HedgeDust.objects.open().values_list("book", "symbol"))
        for facts in looks:
            for decision in facts.decisions(now=now):
                place = (facts.book.key, decision.exposure.symbol)
                seen.add(place)
                standing = self._known.setdefault(place, _Standing(since=now))
                if decision.is_trading and place in making:
                    decision = replace(decision, reason=Reason.IN_FLIGHT)
                    standing.settle()
                elif decision.is_trading and place in dust:
                    decision = replace(decision, reason=Reason.DUST)
                _note(standing, facts.book.key, decision, now)
        self._known = {place: it for place, it in self._known.items() if place in seen}


def _note(standing: _Standing, book_key: str, decision: Decision, now: datetime) -> None:
    """Take a decision into account, and tell of it where that is due."""
    reason = decision.reason
    standing.take(reason, now)
    is_overdue = standing.comes_overdue(reason, now)
    if standing.is_news(reason, now) or is_overdue:
        standing.told = reason
        severity = Severity.WARN if reason in _FOR_A_PERSON else Severity.CRITICAL
        telling.hold_told(book_key, decision, severity=severity)
