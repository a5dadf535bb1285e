"""How late messages come."""

import math
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final

from markets.feeds.clocks import ClockReading


class LatencyWindow:
    """How late messages come, in milliseconds: the p95 of a minute, p99 and worst of them all.

    A message costs one append; each second is folded into counts (by millisecond up to 100 above
    the fastest, then to two digits), and those of a second that left the window are taken out
    again, so a quantile is one walk over few counts, and however delays vary memory stays small.

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
        self._anchor: int | None = None
        self._seconds: deque[Sequence[tuple[int, int]]] = deque()
        self._window: dict[int, int] = {}
        self._total = 0
        self._delays = array("Q", bytes(8 * len(_DELAYS)))
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
        p95 = _below_top(sorted(self._window.items()), self._total // 20)
        return p95 - fastest + self._floor(fastest, clock)

    @property
    def per_second(self) -> float:
        """Messages a second over the window."""
        return self._total / len(self._seconds) if self._seconds else 0.0

    def worst(self) -> int | None:
        """Return the longest delay of all closed seconds, None before the first message."""
        return self._worst

    def p99(self) -> int | None:
        """Return the p99 of all closed seconds, None before the first message."""
        if self._worst is None:
            return None
        return _below_top(list(zip(_DELAYS, self._delays, strict=True)), sum(self._delays) // 100)

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
        times, self._second = self._second, []
        if times and self._anchor is None:
            self._anchor = round(min(times))
        anchor = self._anchor or 0
        gaps = {time - anchor: count for time, count in Counter(map(round, times)).items()}
        base = min((*gaps, *self._window), default=0)
        folded: Counter[int] = Counter()
        for gap, count in gaps.items():
            folded[base + _DELAYS[_place(gap - base)]] += count
        counts = tuple(folded.items())
        self._seconds.append(counts)
        self._count(counts, 1)
        if len(self._seconds) > self.SECONDS:
            self._count(self._seconds.popleft(), -1)
            self._window = dict(self._window)  # what it no longer needs is given back
        fastest = min(self._window, default=0)
        if gaps:
            self._worst = max(self._worst or 0, min(self.LONGEST, max(gaps) - fastest))
        for gap, count in counts:
            self._delays[_place(gap - fastest)] += count

    def _count(self, counts: Iterable[tuple[int, int]], sign: int) -> None:
        window = self._window
        for gap, count in counts:
            self._total += sign * count
            if left := window.get(gap, 0) + sign * count:
                window[gap] = left
            else:
                del window[gap]


_DELAYS: Final = (
    *range(100), *range(100, 1000, 10), *range(1000, 10_000, 100), *range(10_000, 60_001, 1000)
)  # fmt: skip
"""Delays in ms as they are counted: to two digits, and the longest for all above it."""


def _place(delay: int) -> int:
    """Return where in _DELAYS a delay from 0 is counted."""
    if delay < 100:
        return delay
    if delay < 1000:
        return 90 + delay // 10
    if delay < 10_000:
        return 180 + delay // 100
    return min(270 + delay // 1000, len(_DELAYS) - 1)


def _below_top(counts: Sequence[tuple[int, int]], above: int) -> int:
    """Return of growing values the one that has `above` of the counted ones above it."""
    for value, count in reversed(counts):
        above -= count
        if above < 0:
            return value
    raise ValueError("nothing was counted")
