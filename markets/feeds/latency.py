"""How late messages come."""

from collections import Counter, deque
from typing import Final


class LatencyWindow:
    """How late messages come, in milliseconds: the p95 of the newest, p99 and worst of them all.

    A venue's clock may be seconds off ours, so receipt − event alone may even be negative. The
    offset of the clocks is taken as the smallest receipt − event of the last minute, and
    latency counts from there: what is shown is the delay above the fastest message, a constant
    part of the way is not seen.
    """

    SAMPLES: Final = 1024
    SECONDS: Final = 60
    LONGEST: Final = 60_000
    """Later than this counts as this late."""

    def __init__(self) -> None:
        self._second: list[float] = []
        self._delays: Counter[int] = Counter()
        self._recent: deque[float] = deque(maxlen=self.SAMPLES)
        self._lows: deque[float] = deque(maxlen=self.SECONDS)
        self._low = float("inf")

    def add(self, received: float, venue_ms: int) -> None:
        """Take a message: its receipt in monotonic seconds, its event time on the venue's clock."""
        gap = received * 1000.0 - venue_ms
        self._recent.append(gap)
        self._second.append(gap)
        if gap < self._low:
            self._low = gap

    def roll(self) -> int | None:
        """Close a second and return the p95; None after a minute without messages."""
        self._lows.append(self._low)
        self._low = float("inf")
        fastest = min(self._lows)
        if fastest == float("inf"):
            self._recent.clear()
            return None
        for gap in self._second:
            self._delays[min(self.LONGEST, round(gap - fastest))] += 1
        self._second.clear()
        ordered = sorted(self._recent)
        return max(0, round(ordered[int(0.95 * (len(ordered) - 1))] - fastest))

    def worst(self) -> int | None:
        """Return the longest delay of all closed seconds, None before the first message."""
        return max(self._delays, default=None)

    def p99(self) -> int | None:
        """Return the p99 of all closed seconds, None before the first message."""
        left = self._delays.total() // 100
        for delay in sorted(self._delays, reverse=True):
            left -= self._delays[delay]
            if left < 0:
                return delay
        return None
