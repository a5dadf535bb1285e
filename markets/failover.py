"""When a feed has no price of its own: prices made from the others, and a person's say in it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets.choices import FeedSource, SynthReason
from markets.domain.quotes import is_fresh
from markets.domain.synthetic import Source, SyntheticPrice, synthetic_price
from markets.models import Instrument, MarketDataFeed, Quote, SynthPriceSnapshot

FAILED_OVER: Final = audit.register("feed.failed-over", label=gettext_lazy("Feed failed over"))
FAILED_BACK: Final = audit.register("feed.failed-back", label=gettext_lazy("Feed failed back"))

KEPT: Final = timedelta(days=90)
"""Synthetic prices older than this are pruned, as the events that tell of them are."""
PRUNE_BATCH: Final = 5_000

_NEXT: Final[Mapping[str | None, FeedSource]] = {
    None: FeedSource.HTTP,
    str(FeedSource.HTTP): FeedSource.SYNTHETIC,
}
"""From what a person leaves to what the feed uses next, down the chain."""


@dataclass(frozen=True, slots=True)
class PriceGap:
    """A feed whose venue says no price now, and what a price made for it must be.

    `basis` is its distance to the others, if ever seen; its sources must be fresh by its own
    `fresh_ms` too.
    """

    feed_id: str
    symbol: str
    reason: SynthReason
    basis: Decimal | None
    minimum: int
    fresh_ms: int


@transaction.atomic
def feed_failover(*, feed: MarketDataFeed, actor: Actor, reason: str) -> MarketDataFeed:
    """Leave a feed's source for the next: its stream for HTTP, HTTP for a synthetic price.

    It stays there, and its venue is not traded to more, until somebody fails it back. Raises
    Conflict when there is nothing further down.
    """
    feed = _locked(feed)
    source = _NEXT.get(feed.forced_source)
    if source is None:
        raise Conflict(_("%(feed)s has failed over to the last source there is.") % {"feed": feed})
    return _force(feed, source, FAILED_OVER, Severity.WARN, actor=actor, reason=reason)


@transaction.atomic
def feed_failback(*, feed: MarketDataFeed, actor: Actor, reason: str) -> MarketDataFeed:
    """Let a feed use the best source there is again; its stream must first prove steady.

    Raises Conflict when no person has failed it over.
    """
    feed = _locked(feed)
    if not feed.forced_source:
        raise Conflict(_("%(feed)s was not failed over by a person.") % {"feed": feed})
    return _force(feed, None, FAILED_BACK, Severity.INFO, actor=actor, reason=reason)


def _locked(feed: MarketDataFeed) -> MarketDataFeed:
    found: MarketDataFeed = MarketDataFeed.objects.locked().get(pk=feed.pk)
    return found


def _force(
    feed: MarketDataFeed,
    source: FeedSource | None,
    action: audit.Action,
    severity: Severity,
    *,
    actor: Actor,
    reason: str,
) -> MarketDataFeed:
    feed.forced_source = source and str(source)
    with audit.context(action, actor=actor, reason=reason):
        feed.save(update_fields=["forced_source", "updated_at"])
    events.publish(
        Occurrence(
            type=EventType.FAILOVER_ALERT,
            severity=severity,
            message=f"{feed.pk} {action.code} by {actor.name}: {reason}",
            payload={
                "feedId": feed.pk,
                "action": action.code,
                "forcedSource": feed.forced_source,
                "actor": actor.name,
                "reason": reason,
            },
        )
    )
    return feed


@transaction.atomic
def prices_synthesize(*, gaps: Sequence[PriceGap], now: datetime) -> list[str]:
    """Make and write a price for each gap whose symbol has enough fresh feeds elsewhere.

    On the tick of the feed's contract, where one is listed. Returns the feeds that got one.
    """
    sources = _sources({gap.symbol for gap in gaps}, now=now)
    contract = Instrument.objects.tradable(
        venue_id=OuterRef("exchange_id"), symbol=OuterRef("symbol")
    )
    ticks = dict(
        MarketDataFeed.objects.filter(pk__in=[gap.feed_id for gap in gaps])
        .select_for_update(of=("self",), no_key=True)
        .order_by("pk")
        .values_list("pk", Subquery(contract.values("tick")[:1]))
    )
    made: list[str] = []
    for gap in gaps:
        others = [
            item
            for item in sources.get(gap.symbol, ())
            if item.feed_id != gap.feed_id
            and is_fresh(item.received_at, now=now, threshold_ms=gap.fresh_ms)
        ]
        if gap.feed_id not in ticks:
            continue
        tick = ticks[gap.feed_id]
        price = synthetic_price(others, basis=gap.basis, minimum=gap.minimum, tick=tick)
        if price is not None:
            _write(gap, price)
            made.append(gap.feed_id)
    return made


def _write(gap: PriceGap, price: SyntheticPrice) -> None:
    snapshot = SynthPriceSnapshot.objects.create(
        feed_id=gap.feed_id,
        symbol=gap.symbol,
        mid_price=price.mid,
        bid=price.bid,
        ask=price.ask,
        timestamp=price.as_of,
        reason=gap.reason,
    )
    link = SynthPriceSnapshot.source_feeds.through
    link.objects.bulk_create(
        [link(synthpricesnapshot=snapshot, marketdatafeed_id=feed_id) for feed_id in price.feed_ids]
    )


def _sources(symbols: Collection[str], *, now: datetime) -> dict[str, list[Source]]:
    """Return the fresh quotes of these symbols, of every process that holds feeds."""
    rows = Quote.objects.of_enabled_feeds(symbols).values_list(
        "feed_id",
        "feed__symbol",
        "bid",
        "ask",
        "received_at",
        "feed__freshness_threshold",
    )
    found: dict[str, list[Source]] = {}
    for feed_id, symbol, bid, ask, received_at, threshold_ms in rows:
        if is_fresh(received_at, now=now, threshold_ms=threshold_ms):
            found.setdefault(symbol, []).append(Source(feed_id, bid, ask, received_at))
    return found


def synth_prices_prune(*, now: datetime) -> int:
    """Delete synthetic prices past keeping, in batches; return how many.

    An outage leaves about one a second and feed.
    """
    gone = 0
    old = SynthPriceSnapshot.objects.filter(timestamp__lt=now - KEPT).order_by("timestamp")
    while batch := list(old.values_list("pk", flat=True)[:PRUNE_BATCH]):
        SynthPriceSnapshot.objects.filter(pk__in=batch).delete()
        gone += len(batch)
    return gone
