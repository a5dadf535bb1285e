"""Writes of market data.

What machines observe (quotes, health) is not configuration and has no actor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from controlplane import bus
from controlplane.base import events
from controlplane.base.rows import rows_set
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets import groups
from markets.choices import FeedSource, FeedStatus
from markets.domain.health import unheard_status
from markets.models import (
    FeedTraffic,
    MarketDataFeed,
    Quote,
)
from markets.venues.types import Quarantined

_QUOTE_FIELDS: Final = (
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    "mark",
    "venue_at",
    "received_at",
    "sequence",
)
_TRAFFIC_FIELDS: Final = (
    "since",
    "quotes",
    "dropped",
    "message_rate",
    "gaps",
    "connections",
    "delay_p99",
    "delay_worst",
    "latency_error",
    "clock_offset",
    "marks_are_silent",
    "observed_at",
)
_SEVERITY: Final = {
    FeedStatus.HEALTHY: Severity.INFO,
    FeedStatus.DEGRADED: Severity.WARN,
    FeedStatus.FAILING: Severity.CRITICAL,
}


_SEEN: Final = (
    "status",
    "source",
    "source_since",
    "last_heartbeat",
    "ws_latency_p95",
    "http_latency_p95",
    "link",
)


@dataclass(frozen=True, slots=True)
class FeedObservation:
    """How a feed was just seen to be. Latency in milliseconds, None when unknown.

    `link` is what the stream's connection last said of itself, `disbelieved` what it said that was
    not believed and that nobody has been told of.
    """

    feed_id: str
    status: FeedStatus
    source: FeedSource
    last_heartbeat: datetime | None
    ws_latency_p95: int | None
    link: str = ""
    traffic: FeedTraffic | None = None
    http_latency_p95: int | None = None
    disbelieved: Sequence[Quarantined] = ()


def quotes_store(*, quotes: Sequence[Quote]) -> list[str]:
    """Write the latest quotes in one statement; return the feeds whose quote was refused.

    One bad or orphaned row (its feed deleted meanwhile) must not hold up the others, so a refused
    batch is written again row by row. Raises OperationalError or InterfaceError when the database
    itself is away.
    """
    try:
        _store(quotes)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        return [quote.feed_id for quote in quotes if not _stored(quote)]
    return []


def _stored(quote: Quote) -> bool:
    try:
        _store((quote,))
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        return False
    return True


@transaction.atomic
def _store(quotes: Sequence[Quote]) -> None:
    Quote.objects.bulk_create(
        quotes, update_conflicts=True, unique_fields=["feed"], update_fields=_QUOTE_FIELDS
    )


@transaction.atomic
def feeds_observe(*, observations: Sequence[FeedObservation]) -> int:
    """Write health down; return how many feeds changed status or source, each told as an event.

    Feeds deleted or switched off meanwhile are passed over.
    """
    seen = {observation.feed_id: observation for observation in observations}
    feeds = list(MarketDataFeed.objects.enabled().filter(pk__in=seen).locked())
    edges = 0
    for feed in feeds:
        observation = seen[feed.pk]
        feed.last_heartbeat = observation.last_heartbeat or feed.last_heartbeat
        feed.ws_latency_p95 = observation.ws_latency_p95
        feed.http_latency_p95 = observation.http_latency_p95
        feed.link = observation.link
        edges += _moved(feed, observation.status, observation.source)
        for event in observation.disbelieved:
            _tell_disbelieved(feed, event)
    rows_set([(feed, {name: getattr(feed, name) for name in _SEEN}) for feed in feeds], standing=())
    traffics = [traffic for feed in feeds if (traffic := seen[feed.pk].traffic) is not None]
    _tell_marks(traffics)
    FeedTraffic.objects.bulk_create(
        traffics,
        update_conflicts=True,
        unique_fields=["feed"],
        update_fields=_TRAFFIC_FIELDS,
    )
    return edges


def _tell_marks(traffics: Sequence[FeedTraffic]) -> None:
    """Publish where marks fell silent or came back; a new process tells anew what it finds."""
    known = FeedTraffic.objects.filter(pk__in=[traffic.feed_id for traffic in traffics])
    silent = set(known.filter(marks_are_silent=True).values_list("pk", flat=True))
    for traffic in traffics:
        if traffic.marks_are_silent == (traffic.feed_id in silent):
            continue
        text = (
            _("Feed %(feed)s: marks and funding stay away while its quotes flow.")
            if traffic.marks_are_silent
            else _("Feed %(feed)s: marks and funding are back.")
        )
        events.publish(
            Occurrence(
                type=EventType.FAILOVER_ALERT,
                message=text % {"feed": traffic.feed_id},
                severity=Severity.WARN if traffic.marks_are_silent else Severity.INFO,
                payload={"feedId": traffic.feed_id, "marksAreSilent": traffic.marks_are_silent},
            )
        )


def _tell_disbelieved(feed: MarketDataFeed, event: Quarantined) -> None:
    events.publish(
        Occurrence(
            type=EventType.FAILOVER_ALERT,
            message=_("Feed %(feed)s: a frame was not believed and dropped (%(reason)s).")
            % {"feed": feed.pk, "reason": event.reason},
            severity=Severity.WARN,
            payload={
                "feedId": feed.pk,
                "exchange": feed.exchange_id,
                "symbol": feed.symbol,
                "code": "frame_quarantined",
                "reason": event.reason,
                "detail": event.detail,
            },
        )
    )


def feeds_watch(*, now: datetime) -> int:
    """Mark as failing the feeds whose status is no longer true; return how many.

    For the sentinel: whoever holds a feed writes its status down, unless that process is dead.
    A feed that fell silent is told as an event; one that was switched off is not.
    """
    suspects = [feed.pk for feed in MarketDataFeed.objects.claimed_well() if _is_untrue(feed, now)]
    return _feeds_fail(suspects, now=now) if suspects else 0


@transaction.atomic
def _feeds_fail(feed_ids: Sequence[str], *, now: datetime) -> int:
    feeds = MarketDataFeed.objects.claimed_well().filter(pk__in=feed_ids).locked()
    untrue = [feed for feed in feeds if _is_untrue(feed, now)]  # heard of since, maybe
    for feed in untrue:
        feed.ws_latency_p95 = feed.http_latency_p95 = None
        _moved(feed, FeedStatus.FAILING, FeedSource.NONE)
    MarketDataFeed.objects.bulk_update(
        untrue, ["status", "source", "source_since", "ws_latency_p95", "http_latency_p95"]
    )
    if untrue:
        feeds_changed_tell()
    return len(untrue)


def _is_untrue(feed: MarketDataFeed, now: datetime) -> bool:
    quote: Quote | None = getattr(feed, "quote", None)
    known = (feed.last_heartbeat, None if quote is None else quote.received_at)
    heard = max((at for at in known if at is not None), default=None)
    age_ms = None if heard is None else (now - heard).total_seconds() * 1000
    status = FeedStatus(feed.status)
    due = unheard_status(status, age_ms, failover_ms=feed.failover_deadline, is_held=feed.is_held)
    return due is not status


def _moved(feed: MarketDataFeed, status: FeedStatus, source: FeedSource) -> bool:
    """Set a feed's status and source; tell of a change unless nobody is to hold the feed."""
    was, used = FeedStatus(feed.status), FeedSource(feed.source)
    if source is not used:
        feed.source, feed.source_since = source, timezone.now()
    elif status is was:
        return False
    feed.status = status
    if feed.is_held:
        _tell_edge(feed, was, used)
    return True


def _tell_edge(feed: MarketDataFeed, was: FeedStatus, used: FeedSource) -> None:
    now, source = FeedStatus(feed.status), FeedSource(feed.source)
    events.publish(
        Occurrence(
            type=EventType.FAILOVER_ALERT,
            message=_edge_text(feed, was, used),
            severity=_SEVERITY[now],
            payload={
                "feedId": feed.pk,
                "exchange": feed.exchange_id,
                "symbol": feed.symbol,
                "from": was.value,
                "to": now.value,
                "fromSource": used.value,
                "toSource": source.value,
                "link": feed.link,
                "lastHeartbeat": feed.last_heartbeat and feed.last_heartbeat.isoformat(),
            },
        )
    )


def _edge_text(feed: MarketDataFeed, was: FeedStatus, used: FeedSource) -> str:
    if was == feed.status:
        return _("Feed %(feed)s: its price comes from %(to)s now, before from %(from)s.") % {
            "feed": feed.pk,
            "from": used,
            "to": feed.source,
        }
    return _("Feed %(feed)s went from %(from)s to %(to)s; its price comes from %(source)s.") % {
        "feed": feed.pk,
        "from": was,
        "to": feed.status,
        "source": feed.source,
    }


def feeds_changed_tell() -> None:
    """Tell open pages that feeds have news."""
    bus.send(groups.CONSOLE, "console.changed", topic="feeds")
