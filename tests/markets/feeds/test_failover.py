"""Verbs of failover and prices made for feeds that have none of their own."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict
from markets import failover
from markets.choices import SynthReason
from markets.failover import PriceGap
from markets.models import MarketDataFeed, Quote, SynthPriceSnapshot
from monitoring.models import MonitoringEvent
from tests import factories

pytestmark = pytest.mark.django_db
ACTOR = Actor(name="olga", surface=Surface.ADMIN)


def quoted(bid: str, ask: str, *, age_ms: int = 0, symbol: str = "BTC") -> MarketDataFeed:
    feed: MarketDataFeed = factories.feed(symbol=symbol)
    now = timezone.now()
    Quote.objects.create(
        feed=feed,
        bid=Decimal(bid),
        ask=Decimal(ask),
        bid_size=1,
        ask_size=1,
        venue_at=now,
        received_at=now - timedelta(milliseconds=age_ms),
        sequence=1,
    )
    return feed


def gap(feed: MarketDataFeed, *, minimum: int = 2) -> PriceGap:
    return PriceGap(feed.pk, feed.symbol, SynthReason.WS_FAILOVER, Decimal("0.001"), minimum, 2000)


def test_person_goes_down_the_chain_step_by_step_and_back_at_once() -> None:
    feed = factories.feed()
    steps = []
    for verb in (failover.feed_failover, failover.feed_failover, failover.feed_failback):
        verb(feed=feed, actor=ACTOR, reason="as agreed")
        feed.refresh_from_db()
        steps.append(feed.forced_source)
    assert steps == ["http", "synthetic", None]
    with pytest.raises(Conflict):
        failover.feed_failback(feed=feed, actor=ACTOR, reason="again")
    told = MonitoringEvent.objects.filter(type="failover-alert").order_by("event_id")
    assert [(event.payload["forcedSource"], event.severity) for event in told] == [
        ("http", "WARN"),
        ("synthetic", "WARN"),
        (None, "INFO"),
    ]
    trail: Any = feed.audit_trail  # type: ignore[attr-defined]  # pghistory adds it
    codes = [row.pgh_context["action"] for row in trail.order_by("pgh_id")[1:]]
    assert codes == ["feed.failed-over", "feed.failed-over", "feed.failed-back"]


def test_nothing_is_below_a_synthetic_price() -> None:
    feed = factories.feed(forced_source="synthetic")
    with pytest.raises(Conflict):
        failover.feed_failover(feed=feed, actor=ACTOR, reason="further")


def test_price_is_made_from_the_fresh_others_only() -> None:
    dead = quoted("50", "52")
    a, b = quoted("999", "1001", age_ms=300), quoted("999", "1001")
    quoted("10", "12", age_ms=2500)
    quoted("10", "12", symbol="ETH")
    assert failover.prices_synthesize(gaps=[gap(dead)], now=timezone.now()) == [dead.pk]
    made = SynthPriceSnapshot.objects.get()
    assert (made.feed, made.symbol, made.reason, made.mid_price) == (
        dead,
        "BTC",
        "ws-failover",
        Decimal(1001),
    )
    assert set(made.source_feeds.all()) == {a, b}
    assert made.timestamp == Quote.objects.get(feed=a).received_at


def test_a_price_is_made_on_its_own_venues_tick() -> None:
    dead, unlisted = quoted("50", "52"), quoted("50", "52")
    factories.instrument(venue=dead.exchange, tick=Decimal("0.5"))
    for _ in range(2):
        factories.instrument(venue=quoted("999", "1001").exchange, tick=Decimal("0.01"))
    Quote.objects.filter(feed__in=[dead, unlisted]).delete()
    failover.prices_synthesize(gaps=[gap(dead), gap(unlisted)], now=timezone.now())
    made = SynthPriceSnapshot.objects.order_by("feed").values_list("bid", "mid_price", "ask")
    assert dict(zip(("dead", "unlisted"), made, strict=True)) == {
        "dead": (Decimal("998.5"), Decimal(1001), Decimal("1003.5")),
        "unlisted": (Decimal("998.7998"), Decimal(1001), Decimal("1003.2002")),
    }


def test_too_few_sources_make_no_price() -> None:
    dead, _other = quoted("50", "52"), quoted("999", "1001")
    assert failover.prices_synthesize(gaps=[gap(dead)], now=timezone.now()) == []
    assert failover.prices_synthesize(gaps=[gap(dead, minimum=1)], now=timezone.now()) == [dead.pk]
