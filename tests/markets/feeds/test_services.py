"""What the writes of market data promise."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import ANY

import pytest
from django.db.models import Model
from django.utils import timezone

from controlplane.base.audit import Actor, Surface
from controlplane.base.jobs import execute
from markets import listing, services
from markets.choices import FeedSource, FeedStatus
from markets.models import FeedTraffic, Instrument, MarketDataFeed, Quote, SynthPriceSnapshot
from markets.services import FeedObservation
from markets.venues.types import InstrumentReport
from monitoring.models import MonitoringEvent
from tests import factories

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACTOR = Actor(name="sync_instruments", surface=Surface.JOB)


def quote(feed_id: str, bid: str = "99", ask: str = "101", **fields: Any) -> Quote:
    return Quote(
        **{
            "feed_id": feed_id,
            "bid": Decimal(bid),
            "ask": Decimal(ask),
            "bid_size": Decimal(1),
            "ask_size": Decimal(2),
            "venue_at": NOW,
            "received_at": NOW,
            "sequence": 1,
            **fields,
        }
    )


def report(venue_symbol: str = "BTCUSDT", **fields: Any) -> InstrumentReport:
    return InstrumentReport(
        **{
            "venue_symbol": venue_symbol,
            "base": venue_symbol.removesuffix("USDT"),
            "quote": "USDT",
            "contract_size": Decimal(1),
            "tick": Decimal("0.1"),
            "lot": Decimal("0.001"),
            "min_qty": Decimal("0.001"),
            "max_qty": Decimal(1000),
            "max_market_qty": None,
            "min_notional": Decimal(5),
            "max_leverage": None,
            "maker_fee": Decimal("0.0002"),
            "taker_fee": Decimal("0.0005"),
            "is_active": True,
            **fields,
        }
    )


def audit_rows(row: Model) -> Any:
    return row.audit_trail  # type: ignore[attr-defined]  # pghistory adds it


def test_quotes_are_kept_digit_by_digit_and_the_latest_wins() -> None:
    feed = factories.feed()
    services.quotes_store(quotes=[quote(feed.pk)])
    refused = services.quotes_store(
        quotes=[quote(feed.pk, "30000.123456789012345678", "30000.123456789012345679")]
    )
    stored = Quote.objects.get()
    assert refused == []
    assert str(stored.bid) == "30000.123456789012345678"
    assert str(stored.ask) == "30000.123456789012345679"


@pytest.mark.django_db(transaction=True)
def test_one_refused_quote_does_not_hold_up_the_others() -> None:
    feed = factories.feed()
    crossed = factories.feed()
    refused = services.quotes_store(
        quotes=[quote(crossed.pk, "101", "99"), quote("no-such-feed"), quote(feed.pk)]
    )
    assert refused == [crossed.pk, "no-such-feed"]
    assert list(Quote.objects.values_list("feed_id", flat=True)) == [feed.pk]


def test_status_edge_is_told_once_and_heartbeats_are_not() -> None:
    feed = factories.feed()
    healthy = FeedObservation(feed.pk, FeedStatus.HEALTHY, FeedSource.WEBSOCKET, NOW, 12)
    assert services.feeds_observe(observations=[healthy]) == 1
    assert services.feeds_observe(observations=[healthy]) == 0
    feed.refresh_from_db()
    assert (feed.status, feed.last_heartbeat, feed.ws_latency_p95) == ("healthy", NOW, 12)
    event = MonitoringEvent.objects.get()
    assert (event.type, event.severity) == ("failover-alert", "INFO")
    assert event.payload == {
        "feedId": feed.pk,
        "exchange": feed.exchange_id,
        "symbol": "BTC",
        "from": "failing",
        "to": "healthy",
        "fromSource": "none",
        "toSource": "websocket",
        "link": "",
        "lastHeartbeat": ANY,
    }


def test_traffic_is_kept_beside_health_and_counts_anew_with_a_new_process() -> None:
    feed = factories.feed()
    for quotes in (5, 2):
        traffic = FeedTraffic(
            feed=feed, since=NOW, quotes=quotes, dropped={}, connections=1, observed_at=NOW
        )
        services.feeds_observe(
            observations=[
                FeedObservation(
                    feed.pk, FeedStatus.HEALTHY, FeedSource.WEBSOCKET, NOW, 12, traffic=traffic
                )
            ]
        )
    assert FeedTraffic.objects.values_list("quotes", flat=True).get() == 2


def test_silent_marks_are_told_on_the_edges_and_leave_the_feed_healthy() -> None:
    feed = factories.feed()
    for are_silent in (False, True, True, False):
        traffic = FeedTraffic(
            feed=feed,
            since=NOW,
            quotes=1,
            dropped={},
            connections=1,
            observed_at=NOW,
            marks_are_silent=are_silent,
        )
        seen = FeedObservation(
            feed.pk, FeedStatus.HEALTHY, FeedSource.WEBSOCKET, NOW, 12, traffic=traffic
        )
        services.feeds_observe(observations=[seen])
        feed.refresh_from_db()
        assert feed.status == "healthy"
    told = MonitoringEvent.objects.filter(payload__has_key="marksAreSilent").order_by("event_id")
    assert [(event.severity, event.payload["marksAreSilent"]) for event in told] == [
        ("WARN", True),
        ("INFO", False),
    ]


def test_synthetic_prices_are_kept_for_ninety_days() -> None:
    feed, now = factories.feed(), timezone.now()
    for days in (91, 89):
        price = SynthPriceSnapshot.objects.create(
            symbol="BTC",
            mid_price=100,
            bid=99,
            ask=101,
            timestamp=now - timedelta(days=days),
            reason="ws-failover",
        )
        price.source_feeds.set([feed])
    execute("markets.prune_synth_prices", {})
    [kept] = SynthPriceSnapshot.objects.all()
    assert kept.timestamp == now - timedelta(days=89)


def well_feed(age: timedelta, **fields: Any) -> MarketDataFeed:
    feed: MarketDataFeed = factories.feed(
        status="healthy", last_heartbeat=NOW - age, ws_latency_p95=12, **fields
    )
    return feed


def test_feed_nobody_hears_is_called_failing_and_told_once() -> None:
    feed = well_feed(timedelta(milliseconds=10_501))
    assert services.feeds_watch(now=NOW) == 1
    assert services.feeds_watch(now=NOW) == 0
    feed.refresh_from_db()
    assert (feed.status, feed.ws_latency_p95) == ("failing", None)
    event = MonitoringEvent.objects.get()
    assert (event.type, event.severity) == ("failover-alert", "CRITICAL")
    assert (event.payload["from"], event.payload["to"]) == ("healthy", "failing")


@pytest.mark.parametrize("heard", ["heartbeat", "quote"])
def test_feed_heard_of_in_time_is_left_alone(heard: str) -> None:
    age = timedelta(milliseconds=10_500)
    feed = well_feed(age if heard == "heartbeat" else timedelta(hours=1))
    if heard == "quote":
        quote(feed.pk, received_at=NOW - age).save()
    assert services.feeds_watch(now=NOW) == 0
    feed.refresh_from_db()
    assert feed.status == "healthy"
    assert not MonitoringEvent.objects.exists()


@pytest.mark.parametrize("off", ["feed", "venue"])
def test_feed_switched_off_shows_no_old_status_and_alerts_nobody(off: str) -> None:
    feed = well_feed(timedelta(0), is_enabled=off != "feed")
    if off == "venue":
        type(feed.exchange).objects.update(is_enabled=False)
    assert services.feeds_watch(now=NOW) == 1
    late = FeedObservation(feed.pk, FeedStatus.HEALTHY, FeedSource.WEBSOCKET, NOW, 12)
    assert services.feeds_observe(observations=[late]) == 0
    feed.refresh_from_db()
    assert (feed.status, feed.ws_latency_p95) == ("failing", None)
    assert not MonitoringEvent.objects.exists()


def test_feed_that_never_spoke_keeps_no_heartbeat() -> None:
    feed = factories.feed()
    services.feeds_observe(
        observations=[FeedObservation(feed.pk, FeedStatus.FAILING, FeedSource.NONE, None, None)]
    )
    feed.refresh_from_db()
    assert (feed.status, feed.last_heartbeat) == ("failing", None)
    assert not MonitoringEvent.objects.exists()


def test_health_leaves_no_audit_rows() -> None:
    feed = factories.feed()
    before = audit_rows(feed).count()
    services.feeds_observe(
        observations=[FeedObservation(feed.pk, FeedStatus.HEALTHY, FeedSource.WEBSOCKET, NOW, 12)]
    )
    assert audit_rows(feed).count() == before


def test_changed_tick_is_audited_as_the_jobs_and_told() -> None:
    venue = factories.venue()
    listing.instruments_upsert(venue=venue, reports=[report()], actor=ACTOR)
    outcome = listing.instruments_upsert(
        venue=venue, reports=[report(tick=Decimal("0.5"))], actor=ACTOR
    )
    assert (outcome.created, outcome.changed, outcome.unchanged) == (0, 1, 0)
    row = Instrument.objects.get(venue=venue)
    assert row.tick == Decimal("0.5")
    entry = audit_rows(row).latest("pgh_id")
    assert entry.tick == Decimal("0.5")
    assert (entry.pgh_context["actor"], entry.pgh_context["surface"]) == (
        "sync_instruments",
        "job",
    )
    event = MonitoringEvent.objects.get()
    assert event.severity == "WARN"
    assert Decimal(event.payload["changes"]["tick"]["to"]) == Decimal("0.5")


def test_same_list_again_changes_nothing() -> None:
    venue = factories.venue()
    listing.instruments_upsert(venue=venue, reports=[report()], actor=ACTOR)
    outcome = listing.instruments_upsert(venue=venue, reports=[report()], actor=ACTOR)
    assert outcome == listing.InstrumentsSynced(0, 0, 1, 0, ())
    assert audit_rows(Instrument.objects.get(venue=venue)).count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contract_size", None),
        ("contract_size", Decimal(0)),
        ("tick", Decimal(-1)),
        ("lot", Decimal("1e20")),
        ("min_notional", Decimal(-1)),
        ("taker_fee", None),
        ("base", "B\x00TC"),
    ],
)
def test_unusable_rule_is_refused_and_never_filled_in(field: str, value: Any) -> None:
    venue = factories.venue()
    outcome = listing.instruments_upsert(
        venue=venue, reports=[report(**{field: value}), report("ETHUSDT")], actor=ACTOR
    )
    assert len(outcome.refused) == 1
    assert outcome.refused[0].startswith("BTCUSDT: ")
    assert list(Instrument.objects.values_list("venue_symbol", flat=True)) == ["ETHUSDT"]


def test_delisted_instrument_is_retired_not_deleted() -> None:
    venue = factories.venue()
    reports = [report(), report("ETHUSDT")]
    listing.instruments_upsert(venue=venue, reports=reports, actor=ACTOR)
    outcome = listing.instruments_upsert(venue=venue, reports=reports[1:], actor=ACTOR)
    assert (outcome.retired, outcome.unchanged) == (1, 1)
    assert not Instrument.objects.get(venue_symbol="BTCUSDT").is_active
