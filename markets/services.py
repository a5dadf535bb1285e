"""Writes of market data.

What machines observe (quotes, health, funding) is not configuration and has no actor; a change
of an instrument's rules is, and is audited as the job's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from controlplane import bus
from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import LIMIT, ZERO
from markets import groups
from markets.choices import FeedSource, FeedStatus
from markets.domain.health import unheard_status
from markets.models import (
    FeedTraffic,
    Instrument,
    MarketDataFeed,
    Quote,
    Venue,
)
from markets.venues.types import InstrumentReport, Quarantined

INSTRUMENTS_SYNCED = audit.register("instruments.synced", label="Instruments synced")

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


@dataclass(frozen=True, slots=True)
class InstrumentsSynced:
    """What a venue's list changed. `refused` holds `venue symbol: why`."""

    created: int
    changed: int
    unchanged: int
    retired: int
    refused: tuple[str, ...]


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
    MarketDataFeed.objects.bulk_update(
        feeds,
        [
            "status",
            "source",
            "source_since",
            "last_heartbeat",
            "ws_latency_p95",
            "http_latency_p95",
            "link",
        ],
    )
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


# Instruments

_RULES: Final = (
    "symbol",
    "quote_asset",
    "contract_size",
    "tick",
    "lot",
    "min_qty",
    "max_qty",
    "max_market_qty",
    "min_notional",
    "max_leverage",
    "maker_fee",
    "taker_fee",
    "is_active",
)
_STEPS: Final = ("contract_size", "tick", "lot")


@transaction.atomic
def instruments_upsert(
    *, venue: Venue, reports: Sequence[InstrumentReport], actor: Actor
) -> InstrumentsSynced:
    """Bring a venue's instruments in line with its own list.

    A report without a usable number is refused, never filled in. What the list no longer has is
    retired, not deleted. A changed step (contract size, tick, lot) is told as an event, because
    prices and sizes worked out before it may be off.
    """
    known = {row.venue_symbol: row for row in venue.instruments.select_for_update()}
    refused: list[str] = []
    created: list[Instrument] = []
    changed: list[Instrument] = []
    listed: set[str] = set()
    for report in reports:
        listed.add(report.venue_symbol)
        row = known.get(report.venue_symbol)
        rules = _rules(report, row)
        if why := _refusal(venue, report.venue_symbol, rules):
            refused.append(f"{report.venue_symbol}: {why}")
        elif row is None:
            created.append(Instrument(venue=venue, venue_symbol=report.venue_symbol, **rules))
        elif _differs(row, rules):
            _tell_changed_steps(row, rules)
            changed.append(_with(row, rules))
    gone = [row for row in known.values() if row.is_active and row.venue_symbol not in listed]
    retired = [_with(row, {"is_active": False}) for row in gone]
    with audit.context(INSTRUMENTS_SYNCED, actor=actor):
        Instrument.objects.bulk_create(created)
        Instrument.objects.bulk_update([*changed, *retired], [*_RULES, "updated_at"])
    unchanged = len(reports) - len(refused) - len(created) - len(changed)
    return InstrumentsSynced(len(created), len(changed), unchanged, len(retired), tuple(refused))


def _rules(report: InstrumentReport, row: Instrument | None) -> dict[str, Any]:
    rules = {
        "symbol": report.base,
        "quote_asset": report.quote,
        **{name: getattr(report, name) for name in _RULES[2:]},
    }
    if row is not None and report.max_leverage is None:
        rules["max_leverage"] = row.max_leverage  # a listing that does not say is no news
    return rules


def _refusal(venue: Venue, venue_symbol: str, rules: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a venue's rules, or None; the same bounds as the constraints."""
    try:
        Instrument(venue=venue, venue_symbol=venue_symbol, **rules).clean_fields(exclude={"venue"})
    except ValidationError as error:
        return ", ".join(error.message_dict)
    for name in (*_STEPS, "max_qty", "max_market_qty", "max_leverage"):
        value = rules[name]
        if value is not None and not ZERO < value < LIMIT:
            return f"{name} {value}"
    for name in ("min_qty", "min_notional"):
        if not ZERO <= rules[name] < LIMIT:
            return f"{name} {rules[name]}"
    return None


def _differs(row: Instrument, rules: Mapping[str, Any]) -> bool:
    return any(getattr(row, name) != value for name, value in rules.items())


def _with(row: Instrument, rules: Mapping[str, Any]) -> Instrument:
    for name, value in rules.items():
        setattr(row, name, value)
    row.updated_at = timezone.now()
    return row


def _tell_changed_steps(row: Instrument, rules: Mapping[str, Any]) -> None:
    steps = {
        name: {"from": str(getattr(row, name)), "to": str(rules[name])}
        for name in _STEPS
        if getattr(row, name) != rules[name]
    }
    if steps:
        events.publish(
            Occurrence(
                type=EventType.CONFIG,
                message=f"{row} changed its {', '.join(steps)}.",
                severity=Severity.WARN,
                payload={"instrument": str(row), "changes": steps},
            )
        )
