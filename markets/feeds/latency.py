"""How late messages come."""

import math
from collections import Counter, deque
from typing import Final

from markets.feeds.clocks import ClockReading


class LatencyWindow:
    """How late messages come, in milliseconds: the p95 of a minute, p99 and worst of them all.

    A message costs one append; each second is folded into counts by millisecond, and those of a
    second that left the window are taken out again, so a quantile is one walk over few counts.

    A venue's clock may be seconds off ours, so receipt − event alone may even be negative. While
    the venue's clock is known (`ClockReading`), the p95 is absolute, off by at most `error_ms`.
    Without it, or when messages would have come before they were sent by more than its error,
    latency counts from the fastest message of the window: a constant part of the way is not seen.
    """

    SECONDS: Final = 60
    LONGEST: Final = 60_000
    """Later than this counts as this late."""

    def __init__(self) -> None:
        self._second: list[float] = []
        self._anchor: float | None = None
        self._seconds: deque[Counter[int]] = deque()
        self._window: Counter[int] = Counter()
        self._delays: Counter[int] = Counter()
        self._worst: int | None = None
        self.error_ms: int | None = None

    def add(self, received: float, venue_ms: int) -> None:
        """Take a message: its receipt in monotonic seconds, its event time on the venue's clock."""
        self._second.append(received * 1000.0 - venue_ms)

    def roll(self, clock: ClockReading | None = None) -> int | None:
        """Close a second and return the p95; None after a minute without messages.

        `clock` is the venue's, on our monotonic clock, as it was just measured.
        """
        self._fold()
        if not self._window:
            self.error_ms, self._anchor = None, None
            return None
        fastest = min(self._window)
        p95 = _below_top(self._window, self._window.total() // 20)
        return p95 - fastest + self._floor(fastest, clock)

    @property
    def per_second(self) -> float:
        """Messages a second over the window."""
        return self._window.total() / len(self._seconds) if self._seconds else 0.0

    def worst(self) -> int | None:
        """Return the longest delay of all closed seconds, None before the first message."""
        return self._worst

    def p99(self) -> int | None:
        """Return the p99 of all closed seconds, None before the first message."""
        return _below_top(self._delays, self._delays.total() // 100) if self._delays else None

    def _floor(self, fastest: int, clock: ClockReading | None) -> int:
        """Return how long the fastest message took by the venue's clock, 0 when it cannot tell."""
        self.error_ms = None
        if clock is None or self._anchor is None:
            return 0
        took = self._anchor + fastest + clock.offset_ms
        if took < -clock.error_ms:
            return 0  # its events are not dated by the clock its server tells
        self.error_ms = math.ceil(clock.error_ms)
        return max(0, round(took))

    def _fold(self) -> None:
        gaps, self._second = self._second, []
        if gaps and self._anchor is None:
            self._anchor = min(gaps)
        anchor = self._anchor or 0.0
        counts = Counter(round(gap - anchor) for gap in gaps)
        self._seconds.append(counts)
        self._window += counts
        if len(self._seconds) > self.SECONDS:
            self._window -= self._seconds.popleft()
        fastest = min(self._window, default=0)
        for gap, count in counts.items():
            delay = min(self.LONGEST, gap - fastest)
            self._worst = max(self._worst or 0, delay)
            self._delays[_rounded(delay)] += count


def _rounded(delay: int) -> int:
    """Return a delay to two digits, so that what is kept for good stays small however it varies."""
    step = 1 if delay < 100 else 10 if delay < 1000 else 100 if delay < 10_000 else 1000
    return delay // step * step


def _below_top(counts: Counter[int], above: int) -> int:
    """Return the value that has `above` of the counted ones above it."""
    for value in sorted(counts, reverse=True):
        above -= counts[value]
        if above < 0:
            return value
    raise ValueError("nothing was counted")
