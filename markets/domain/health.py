"""How well a feed is, from the age of its data alone: a table of moves, and no clock of its own.

Ages are on the monotonic receipt clock: a pong, an open socket or a venue's timestamp is no data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controlplane.kernel.fsm import move
from markets.choices import FeedStatus

STEADY_THRESHOLDS: Final = 2
"""Data must have been fresh for this many freshness thresholds before a feed is trusted again.

A single message stays fresh for one; two cannot pass without several, so a socket that gives one
frame and falls silent again never counts as a return."""


class HealthEvent(StrEnum):
    """What happens to a feed.

    `AGE`: its main source fell silent. `LOSE`: so has every source of the venue, past the
    deadline. `RETURN`: the venue is heard again, not by the main source. `RECOVER`: the main
    source is steady.
    """

    AGE = "age"
    LOSE = "lose"
    RETURN = "return"
    RECOVER = "recover"


_S, _E = FeedStatus, HealthEvent
HEALTH_TABLE: Final[Mapping[tuple[FeedStatus, HealthEvent], FeedStatus]] = {
    (_S.HEALTHY, _E.AGE): _S.DEGRADED,
    (_S.HEALTHY, _E.LOSE): _S.FAILING,
    (_S.DEGRADED, _E.LOSE): _S.FAILING,
    (_S.DEGRADED, _E.RECOVER): _S.HEALTHY,
    (_S.FAILING, _E.RETURN): _S.DEGRADED,
    (_S.FAILING, _E.RECOVER): _S.HEALTHY,
}


@dataclass(slots=True)
class Health:
    """One feed's health.

    The first data of a feed that was not on record as degraded is a start, not a return: it is
    trusted at once.
    """

    fresh_ms: int
    failover_ms: int
    status: FeedStatus = FeedStatus.FAILING
    is_starting: bool = True
    _main_since: float | None = None
    _any_since: float | None = None

    def look(self, now: float, *, main: float | None, any_source: float | None) -> FeedStatus:
        """Return the status at `now`; all times are monotonic seconds, None for never.

        `main` is the newest data of the main source, `any_source` that of whatever the venue
        itself said, by stream or over HTTP.
        """
        self._main_since = self._since(self._main_since, main, now)
        self._any_since = self._since(self._any_since, any_source, now)
        event = self._event(now, any_source)
        if event is not None:
            self.status = move(HEALTH_TABLE, self.status, event)
        if self.status is FeedStatus.HEALTHY:
            self.is_starting = False
        return self.status

    def _event(self, now: float, any_source: float | None) -> HealthEvent | None:
        status = self.status
        if any_source is None or (now - any_source) * 1000 > self.failover_ms:
            return None if status is FeedStatus.FAILING else HealthEvent.LOSE
        if status is FeedStatus.HEALTHY:
            return HealthEvent.AGE if self._main_since is None else None
        if self._is_steady(self._main_since, now):
            return HealthEvent.RECOVER
        if status is FeedStatus.FAILING and (
            self.is_starting or self._is_steady(self._any_since, now)
        ):
            return HealthEvent.RETURN
        return None

    def _since(self, since: float | None, heard: float | None, now: float) -> float | None:
        """Return since when a source has been fresh without a break, None when it is not."""
        if heard is None or (now - heard) * 1000 > self.fresh_ms:
            return None
        return now if since is None else since

    def _is_steady(self, since: float | None, now: float) -> bool:
        if since is None:
            return False
        return self.is_starting or (now - since) * 1000 >= STEADY_THRESHOLDS * self.fresh_ms


RECORD_LAG_MS: Final = 500
"""How late the newest data's time may be on record while whoever holds the feed is well."""


def unheard_status(
    status: FeedStatus, age_ms: float | None, *, failover_ms: int, is_held: bool
) -> FeedStatus:
    """Return what a feed's recorded status must become, seen from outside its own process.

    Only ever worse: a status says nothing once its data is too old, which is how a dead process
    is noticed, nor once nobody is to hold the feed. `age_ms` is by the times on record.
    """
    is_silent = age_ms is None or age_ms > failover_ms + RECORD_LAG_MS
    return FeedStatus.FAILING if is_silent or not is_held else status
