"""How many sockets may be opened to one venue from one address, and when. Pure: `now` is given."""

from collections import deque
from typing import Final

OURS: Final = 4, 5
"""The share of a venue's limit that we use: people and other programs have the same address."""
KEPT: Final = 1, 4
"""The share of ours that is kept for private streams: quotes have other sources, fills do not."""
FULL_SECONDS: Final = 1.0
"""When to ask again while as many sockets are open as may be."""


class ConnectBudget:
    """Counts new connections in a sliding window, and those that are open.

    Attempts count whether they succeed or not, as they do at the venue.
    """

    def __init__(self, *, connects: int, seconds: float, at_once: int | None = None) -> None:
        self._connects = max(1, connects * OURS[0] // OURS[1])
        self._quotes = max(1, self._connects - self._connects * KEPT[0] // KEPT[1])
        self._seconds = seconds
        self._at_once = at_once
        self._taken: deque[float] = deque()
        self._open = 0

    def take(self, *, now: float, is_private: bool = False) -> float:
        """Take a place for one connection; return 0.0, or how long to wait before asking again.

        `now` is monotonic seconds. What was taken is given back by `release` when it is closed.
        """
        self._forget(now)
        if self._at_once is not None and self._open >= self._at_once:
            return FULL_SECONDS
        allowed = self._connects if is_private else self._quotes
        if len(self._taken) >= allowed:
            return max(0.001, self._taken[-allowed] + self._seconds - now)
        self._taken.append(now)
        self._open += 1
        return 0.0

    def release(self) -> None:
        """Note that a connection has been closed, or was never made."""
        self._open -= 1

    def is_idle(self, *, now: float) -> bool:
        """Tell whether nothing is remembered that matters."""
        self._forget(now)
        return not self._open and not self._taken

    def _forget(self, now: float) -> None:
        while self._taken and now - self._taken[0] >= self._seconds:
            self._taken.popleft()
