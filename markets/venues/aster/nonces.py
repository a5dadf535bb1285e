"""The numbers that keep Aster's requests apart: the venue's microseconds, each used once.

The venue keeps a user's last 100 nonces; it refuses a repeated one and one smaller than all kept
(vendor: "V3 Nonce Mechanism"). All clients of a process draw from one source per user, which only
grows. Processes cannot see each other's, so the last three digits are the process's own: two
processes that sign in the same millisecond still differ. So do two addresses of one venue in one
process, whose sources know nothing of each other either.
"""

import os
from functools import cache
from itertools import count
from threading import Lock
from typing import Final

from markets.venues.shared import ServerClock

STEP: Final = 1_000
"""Microseconds from one nonce to the next; what lies between tells sources apart."""
_number = count()


class NonceSource:
    def __init__(self, number: int = 0) -> None:
        self._number = number
        self._last = 0
        self._lock = Lock()

    def take(self, clock: ServerClock) -> int:
        """Return the next nonce; raises NotSent when the venue's clock was never measured."""
        base = clock.now_ms() * 1_000
        with self._lock:
            step = max(base, self._last - self._last % STEP + STEP)
            self._last = step + (os.getpid() + self._number) % STEP
            return self._last


@cache
def nonce_source(rest: str, user: str) -> NonceSource:
    """Return the one source of a user (lower-case address) at a REST address."""
    return NonceSource(next(_number))
