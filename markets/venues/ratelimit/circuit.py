"""When a venue breaks under everybody's requests: leave it in peace, ask now and then, come back.

Times are nanoseconds of one monotonic clock; `luck` is a random whole number below `LUCK`.
"""

from collections import deque
from typing import Final

from markets.venues.ratelimit.terms import SECOND_NS

LOOKED_AT: Final = 10
"""How many of the last answers count."""
BROKEN: Final = 5
"""How many of them may be 5xx before the circuit opens."""
WHOLE: Final = 3
"""How many good answers in a row close it again."""
LUCK: Final = 1000
_FORGOTTEN_NS: Final = 10 * SECOND_NS


class Circuit:
    """Lets everything pass while a venue works, one request a second while it does not.

    The second is all processes' together: each of `processes` asks in its own part of the time,
    jittered, so that they do not ask in step.
    """

    def __init__(self, *, processes: int) -> None:
        self._gap_ns = processes * SECOND_NS
        self._failures: deque[tuple[int, bool]] = deque(maxlen=LOOKED_AT)
        self._next_ns = 0
        self._good = 0
        self.is_open = False

    def wait_ns(self, now_ns: int) -> int:
        """Return how long an ordinary request must wait; 0 is now."""
        return max(0, self._next_ns - now_ns) if self.is_open else 0

    def take(self, now_ns: int, luck: int) -> None:
        """Count an ordinary request that leaves now."""
        if self.is_open:
            self._next_ns = now_ns + self._gap_ns + self._gap_ns * luck // (2 * LUCK)

    def heard(self, *, is_failure: bool, now_ns: int, luck: int) -> None:
        """Take in what an answer says of the venue's health."""
        if self.is_open:
            self._good = 0 if is_failure else self._good + 1
            if self._good >= WHOLE:
                self.is_open = False
                self._failures.clear()
            return
        self._failures.append((now_ns, is_failure))
        recent = (bad for at_ns, bad in self._failures if at_ns + _FORGOTTEN_NS > now_ns)
        if is_failure and sum(recent) >= BROKEN:
            self.is_open, self._good = True, 0
            self.take(now_ns, luck)
