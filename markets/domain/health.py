"""How well a feed is, from the age of its data alone."""

from typing import Final

from markets.choices import FeedStatus


def feed_status(age_ms: float | None, *, fresh_ms: int, failover_ms: int) -> FeedStatus:
    """Return a feed's status; `age_ms` is that of its newest data, None when there never was any.

    Ages come from the monotonic receipt clock: a pong or an open socket is not data.
    """
    if age_ms is None or age_ms > failover_ms:
        return FeedStatus.FAILING
    return FeedStatus.HEALTHY if age_ms <= fresh_ms else FeedStatus.DEGRADED


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
