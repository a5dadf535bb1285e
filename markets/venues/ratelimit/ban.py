"""A ban, or a told pause: nothing leaves until it is over, then one request tries the way.

Times are nanoseconds of one monotonic clock.
"""

from typing import Final

from markets.venues.ratelimit.terms import SECOND_NS

MARGIN_NS: Final = SECOND_NS
"""The venue's last second is not ours: its clock and ours, and whole seconds, may differ."""
UNTIL_TRIED: Final = SECOND_NS // 20


class Ban:
    """Whether one exit, or one account's orders, are banned."""

    def __init__(self) -> None:
        self._until_ns = 0
        self._must_try = False
        self._is_trying = False

    def until_ns(self, now_ns: int) -> int | None:
        """Return the end of a ban that lasts, else None."""
        return self._until_ns if now_ns < self._until_ns else None

    def extend(self, until_ns: int) -> bool:
        """Take in a ban; tell whether it lasts longer than what was known."""
        if until_ns <= self._until_ns:
            return False
        self._until_ns, self._must_try = until_ns, True
        return True

    def wait_ns(self, now_ns: int) -> int:
        """Return how long nothing may leave; 0 is now."""
        if now_ns < self._until_ns:
            return self._until_ns - now_ns
        return UNTIL_TRIED if self._is_trying else 0

    def take(self) -> bool:
        """Count a request that leaves now; tell whether it is the one that tries the way."""
        if not self._must_try:
            return False
        self._is_trying = True
        return True

    def tried(self, *, is_free: bool) -> None:
        """Take in how the try ended; a try that got no answer is made again."""
        self._is_trying = False
        self._must_try = not is_free
