"""Time as something a shell holds and `domain/` is given."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

APART_NS: Final = 500_000_000
"""Beyond this our own wall clock is not believed: as of a venue's, from here on it is told of."""
CLOSE_NS: Final = 250_000_000
"""Within this it is believed again: what swings around one bound would tell two times in turn."""
VALID_NS: Final = 60_000_000_000
"""A reading older than this is made again: clocks drift, and the database's may have been set."""
EXACT_NS: Final = 125_000_000
"""A reading known no better than this replaces none that is: the machine was busy."""
_SINCE_START: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Steps never and counts the time a machine sleeps, where the system has such a clock."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall time for records, monotonic time for ages and deadlines."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps back."""
        ...


def since_start_ns() -> int:
    """Return nanoseconds on the clock that `AgreedClock` counts on by."""
    return time.clock_gettime_ns(_SINCE_START)


@dataclass(frozen=True, slots=True)
class _Reading:
    """The database's clock less the one since the start, both ns; off by at most `error_ns`."""

    ahead_ns: int
    error_ns: int
    read_ns: int


class AgreedClock:
    """One wall time for all processes on all hosts: the database's, which they all can read.

    This machine's own clock is taken while it is close to the database's, for processes that share
    it agree better than any reading tells. Where it is apart, or is set while the process runs,
    time goes on from the last reading, counted by a clock that never steps.
    """

    def __init__(self) -> None:
        self._reading: _Reading | None = None
        self._is_apart = False

    def now_ns(self) -> int:
        """Return Unix nanoseconds; before the first reading those of this machine."""
        own, told = time.time_ns(), self._told_ns()
        if told is None:
            return own
        # One assignment of what was compared just now: threads may come in between.
        self._is_apart = is_apart = abs(own - told) > self._bound_ns()
        return told if is_apart else own

    def now(self) -> datetime:
        """Return the same as a moment in UTC."""
        return _EPOCH + timedelta(microseconds=self.now_ns() // 1000)

    @property
    def ahead_ms(self) -> int:
        """How far this machine's own clock is ahead of what is told, ms; 0 while it is believed."""
        return (time.time_ns() - self.now_ns()) // 1_000_000 if self.is_apart else 0

    @property
    def is_apart(self) -> bool:
        """Whether this machine's own clock is not believed."""
        self.now_ns()
        return self._is_apart

    @property
    def is_doubtful(self) -> bool:
        """Whether the database's clock should be read: never done, long ago, or ours is apart."""
        reading = self._reading
        return reading is None or since_start_ns() - reading.read_ns > VALID_NS or self.is_apart

    def learn(self, told_ns: int, *, sent_ns: int, received_ns: int) -> None:
        """Take a reading of the database's clock, Unix ns; stamps are of `since_start_ns`.

        It is off by at most half of what it took.
        """
        error_ns = (received_ns - sent_ns) // 2
        if self._reading is None or error_ns <= EXACT_NS or error_ns <= self._reading.error_ns:
            self._reading = _Reading(told_ns - (sent_ns + received_ns) // 2, error_ns, received_ns)

    def _told_ns(self) -> int | None:
        reading = self._reading
        return None if reading is None else reading.ahead_ns + since_start_ns()

    def _bound_ns(self) -> int:
        reading = self._reading
        return (CLOSE_NS if self._is_apart else APART_NS) + (reading.error_ns if reading else 0)


AGREED_CLOCK: Final = AgreedClock()
"""This process's."""


class SystemClock:
    """The agreed wall time, and the machine's own monotonic clock."""

    def now(self) -> datetime:
        return AGREED_CLOCK.now()

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()
