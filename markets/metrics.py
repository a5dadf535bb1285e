"""How feeds are, as Prometheus metrics, read from what `run_feeds` writes down."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from markets.choices import FeedStatus
from markets.models import FeedTraffic, MarketDataFeed

LABELS: Final = ("feed", "exchange", "symbol")
_GAUGES: Final[Mapping[str, str]] = {
    "age_seconds": "Age of the newest data.",
    "ws_latency_p95_seconds": "p95 from the venue's event to our board.",
    "http_latency_p95_seconds": "p95 of the venue's answers over HTTP.",
    "latency_error_seconds": "By how much the websocket p95 may be off as an absolute time.",
    "clock_offset_seconds": "The venue's clock less ours.",
    "quotes_per_second": "Quotes a second over the last minute.",
}
_COUNTERS: Final[Mapping[str, str]] = {
    "quotes": "Quotes read since the process began to count.",
    "gaps": "Silences longer than the freshness threshold.",
    "connections": "Connections that stood; all but the first are reconnects.",
}


class FeedCollector:
    """Collects the enabled feeds; a value that is not known is left out."""

    def collect(self) -> Iterator[Metric]:
        """Read all feeds in one query."""
        now = timezone.now()
        feeds = list(MarketDataFeed.objects.enabled().select_related("traffic").order_by("pk"))
        yield _statuses(feeds)
        yield _drops(feeds)
        for name, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"controlplane_feed_{name}", text, labels=LABELS)
            for feed in feeds:
                if (value := _gauges(feed, now)[name]) is not None:
                    gauge.add_metric(_labels(feed), value)
            yield gauge
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"controlplane_feed_{name}", text, labels=LABELS)
            for feed in feeds:
                if (traffic := _traffic(feed)) is not None:
                    counter.add_metric(_labels(feed), getattr(traffic, name))
            yield counter


def _statuses(feeds: list[MarketDataFeed]) -> Metric:
    family = GaugeMetricFamily(
        "controlplane_feed_status", "1 for the status a feed has.", labels=(*LABELS, "status")
    )
    for feed in feeds:
        for status in FeedStatus:
            family.add_metric((*_labels(feed), status.value), float(feed.status == status))
    return family


def _drops(feeds: list[MarketDataFeed]) -> Metric:
    family = CounterMetricFamily(
        "controlplane_feed_dropped", "Messages not believed.", labels=(*LABELS, "reason")
    )
    for feed in feeds:
        traffic = _traffic(feed)
        for reason, count in () if traffic is None else sorted(traffic.dropped.items()):
            family.add_metric((*_labels(feed), reason), count)
    return family


def _gauges(feed: MarketDataFeed, now: datetime) -> Mapping[str, float | None]:
    heard, traffic = feed.last_heartbeat, _traffic(feed)
    return {
        "age_seconds": None if heard is None else max(0.0, (now - heard).total_seconds()),
        "ws_latency_p95_seconds": _seconds(feed.ws_latency_p95),
        "http_latency_p95_seconds": _seconds(feed.http_latency_p95),
        "latency_error_seconds": _seconds(getattr(traffic, "latency_error", None)),
        "clock_offset_seconds": _seconds(getattr(traffic, "clock_offset", None)),
        "quotes_per_second": None if traffic is None else float(traffic.message_rate),
    }


def _labels(feed: MarketDataFeed) -> tuple[str, str, str]:
    return feed.pk, feed.exchange_id, feed.symbol


def _traffic(feed: MarketDataFeed) -> FeedTraffic | None:
    return getattr(feed, "traffic", None)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
