"""How much a listener is sent: the newest at its own rate, and never more than it has taken."""

import math
from dataclasses import dataclass, field
from typing import Final

FASTEST: Final = 10
"""Messages a second that one subscription may ask for; quotes are stored no faster."""
SLOWEST: Final = 0.1
UNDER_WAY: Final = 16
"""Messages sent and not yet acknowledged, at most."""


@dataclass(slots=True)
class Conflation:
    """One subscription's pace. Times are monotonic seconds.

    What changes is gathered by key and nothing is queued: a late message carries the newest of
    each key. Messages are numbered from 1; the listener tells the number it has got to.
    """

    per_second: float
    sequence: int = 0
    acknowledged: int = 0
    _changed: set[str] = field(default_factory=set)
    _due: float = -math.inf
    _waiting_since: float | None = None

    def change(self, keys: set[str]) -> None:
        """Take keys whose newest value has not been sent."""
        self._changed |= keys

    def take(self, now: float) -> set[str]:
        """Return what is to be sent now; empty when nothing changed, too soon, or none is taken."""
        if not self._changed or now < self._due or self.under_way >= UNDER_WAY:
            return set()
        changed, self._changed = self._changed, set()
        return changed

    def sent(self, now: float) -> int:
        """Count a message and return its number."""
        self.sequence += 1
        self._due = now + 1 / self.per_second
        if self._waiting_since is None:
            self._waiting_since = now
        return self.sequence

    def acknowledge(self, sequence: int, now: float) -> bool:
        """Take word of what has arrived; False when no such message was sent."""
        if not 0 < sequence <= self.sequence:
            return False
        if sequence > self.acknowledged:
            self.acknowledged = sequence
            self._waiting_since = None if sequence == self.sequence else now
        return True

    @property
    def under_way(self) -> int:
        return self.sequence - self.acknowledged

    def silent_for(self, now: float) -> float:
        """Return how long messages have been under way without a word; 0 when none are."""
        return 0.0 if self._waiting_since is None else now - self._waiting_since
