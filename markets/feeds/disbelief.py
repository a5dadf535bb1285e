"""What streams said that was not believed: counted, its beginning kept, and told of in time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from markets.venues.types import Quarantined

TELL_SECONDS: Final = 600.0
"""How long a reason that goes on is not told of again."""
ORDINARY: Final = frozenset({"out-of-order"})
"""What venues do without lying: it is counted and dropped, and nobody is told."""


@dataclass(slots=True)
class Disbelief:
    """One stream's account of what was not believed. `now` is monotonic seconds.

    `untold` is what somebody must be told of: the first of each reason, and one more whenever
    that reason goes on for TELL_SECONDS. It stays until `told`.
    """

    counts: Counter[str] = field(default_factory=Counter)
    untold: dict[str, Quarantined] = field(default_factory=dict)
    _told_at: dict[str, float] = field(default_factory=dict)

    def note(self, event: Quarantined, now: float) -> bool:
        """Count what was not believed; return whether it is news."""
        self.counts[event.reason] += 1
        at = self._told_at.get(event.reason)
        if event.reason in ORDINARY or (at is not None and now - at < TELL_SECONDS):
            return False
        self._told_at[event.reason] = now
        self.untold[event.reason] = event
        return True

    def news(self) -> Sequence[Quarantined]:
        return tuple(self.untold.values())

    def told(self, news: Sequence[Quarantined]) -> None:
        """Forget what has been told, unless something newer took its place."""
        for event in news:
            if self.untold.get(event.reason) is event:
                del self.untold[event.reason]
