"""How well a feed is, from the age of its data alone."""

from markets.choices import FeedStatus


def feed_status(age_ms: float | None, *, fresh_ms: int, failover_ms: int) -> FeedStatus:
    """Return a feed's status; `age_ms` is that of its newest data, None when there never was any.

    Ages come from the monotonic receipt clock: a pong or an open socket is not data.
    """
    if age_ms is None or age_ms > failover_ms:
        return FeedStatus.FAILING
    return FeedStatus.HEALTHY if age_ms <= fresh_ms else FeedStatus.DEGRADED
