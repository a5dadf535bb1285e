"""What each feed's row asks for: everything its stream depends on, as one comparable value."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Subquery

from markets.choices import FeedSource, FeedStatus
from markets.models import Instrument, MarketDataFeed
from markets.venues.types import Endpoint


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """A feed to hold. `venue_symbol` is None while the venue's instrument is not known."""

    feed_id: str
    symbol: str
    dialect: str
    endpoint: Endpoint
    venue_symbol: str | None
    fresh_ms: int
    failover_ms: int
    forced: FeedSource | None
    synthetic_sources: int


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """How a feed was when last written down."""

    status: FeedStatus
    last_heartbeat: datetime | None


def feed_plans() -> dict[str, FeedPlan]:
    """Return the plan of every enabled feed, by feed."""
    contract = Instrument.objects.tradable(
        venue_id=OuterRef("exchange_id"), symbol=OuterRef("symbol")
    )
    feeds = (
        MarketDataFeed.objects.enabled()
        .select_related("exchange")
        .annotate(venue_symbol=Subquery(contract.values("venue_symbol")[:1]))
    )
    return {feed.pk: _plan(feed, feed.venue_symbol) for feed in feeds}


def feed_plan(feed_id: str) -> tuple[FeedPlan, FeedRecord] | None:
    """Return an enabled feed's plan and how it was last; None when it is not to run."""
    feed = MarketDataFeed.objects.enabled().select_related("exchange").filter(pk=feed_id).first()
    if feed is None:
        return None
    contract = Instrument.objects.tradable(venue_id=feed.exchange_id, symbol=feed.symbol).first()
    record = FeedRecord(FeedStatus(feed.status), feed.last_heartbeat)
    return _plan(feed, contract and contract.venue_symbol), record


def _plan(feed: MarketDataFeed, venue_symbol: str | None) -> FeedPlan:
    return FeedPlan(
        feed_id=feed.pk,
        symbol=feed.symbol,
        dialect=feed.exchange.dialect,
        endpoint=feed.endpoint(),
        venue_symbol=venue_symbol,
        fresh_ms=feed.freshness_threshold,
        failover_ms=feed.failover_deadline,
        forced=FeedSource(feed.forced_source) if feed.forced_source else None,
        synthetic_sources=feed.synthetic_sources,
    )
