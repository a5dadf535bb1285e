"""Books that stay out of their threshold, or unknown, are told of: once for each reason."""

from collections.abc import Iterable
from dataclasses import replace
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


class BookWatch:
    """Remembers, per book and asset, since when a reason holds. One per process."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], tuple[Reason, datetime]] = {}
        self._told: dict[tuple[str, str], Reason] = {}
        self._out: dict[tuple[str, str], datetime] = {}
        """Since when it has not been within its threshold, nor at rest for a good reason."""
        self._overdue: set[tuple[str, str]] = set()

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
                if decision.is_trading and place in making:
                    decision = replace(decision, reason=Reason.IN_FLIGHT)
                    self._settled(place)
                elif decision.is_trading and place in dust:
                    decision = replace(decision, reason=Reason.DUST)
                self._note(place, decision, now)
        for gone in self._since.keys() - seen:
            del self._since[gone]
            self._told.pop(gone, None)
            self._settled(gone)

    def _settled(self, place: tuple[str, str]) -> None:
        self._out.pop(place, None)
        self._overdue.discard(place)

    def _is_overdue(self, place: tuple[str, str], reason: Reason, now: datetime) -> bool:
        """Tell, once, that a book is out of its threshold for too long by reasons that change."""
        if reason is Reason.WITHIN_THRESHOLD or reason in _FOR_A_PERSON:
            self._settled(place)
            return False
        if place in self._overdue or now - self._out.setdefault(place, now) < OVERDUE:
            return False
        self._overdue.add(place)
        return True

    def _note(self, place: tuple[str, str], decision: Decision, now: datetime) -> None:
        reason, since = self._since.get(place, (None, now))
        if reason is not decision.reason:
            reason, since = decision.reason, now
            self._since[place] = (reason, since)
        is_overdue = self._is_overdue(place, reason, now)
        if reason in _QUIET:
            self._told.pop(place, None)
        has_lasted = reason not in _QUIET and now - since >= PATIENCE
        if (has_lasted and self._told.get(place) is not reason) or is_overdue:
            self._told[place] = reason
            severity = Severity.WARN if reason in _FOR_A_PERSON else Severity.CRITICAL
            telling.hold_told(place[0], decision, severity=severity)
