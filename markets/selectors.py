"""Reads of market data: prices to rely on, instruments as values."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from controlplane.base.prepared import prepared
from controlplane.kernel.units import Price
from markets.choices import FeedStatus
from markets.domain.instrument import InstrumentSpec
from markets.domain.quotes import SYNTHETIC_VALIDITY, QuoteView, is_fresh, mid, reference
from markets.models import Instrument, MarketDataFeed, Quote, SynthPriceSnapshot

Place = tuple[str, str]
"""A market: a venue's id and a symbol."""


def reference_price(symbol: str, *, now: datetime) -> Decimal | None:
    """Return the symbol's reference price, or None when nothing fresh is known."""
    return reference_prices((symbol,), now=now).get(symbol)


def reference_prices(symbols: Collection[str], *, now: datetime) -> dict[str, Decimal]:
    """Return the reference price of each symbol that has one.

    The median of fresh mids over venues; where no mid is fresh, the newest synthetic price still
    valid. A symbol without either is absent, never zero.
    """
    mids: dict[str, list[Decimal]] = defaultdict(list)
    for symbol, bid, ask, received_at, threshold_ms in _quotes(symbols=list(symbols)):
        if is_fresh(received_at, now=now, threshold_ms=threshold_ms):
            mids[symbol].append(mid(bid, ask))
    prices: dict[str, Decimal] = {}
    for symbol, values in mids.items():
        price = reference(values)
        if price is not None:
            prices[symbol] = price
    if missing := set(symbols) - prices.keys():
        prices |= _synthetic_prices(missing, now=now)
    return prices


@prepared
def _quotes(symbols: Any) -> Any:
    return (
        Quote.objects.of_enabled_feeds()
        .filter(feed__symbol__any=symbols)
        .values_list("feed__symbol", "bid", "ask", "received_at", "feed__freshness_threshold")
    )


def _synthetic_prices(symbols: Collection[str], *, now: datetime) -> dict[str, Decimal]:
    rows = (
        SynthPriceSnapshot.objects.filter(
            symbol__in=symbols, timestamp__gte=now - SYNTHETIC_VALIDITY, timestamp__lte=now
        )
        .order_by("symbol", "-timestamp")
        .distinct("symbol")
    )
    return dict(rows.values_list("symbol", "mid_price"))


def fresh_quote(instrument: Instrument, *, now: datetime) -> QuoteView | None:
    """Return the top of the book for an instrument's symbol on its venue, None when not fresh."""
    return market_standing(instrument, now=now).top


def _top(feed: MarketDataFeed, *, now: datetime) -> QuoteView | None:
    """Return the feed's top of the book, None when not fresh; its quote is joined."""
    quote: Quote | None = getattr(feed, "quote", None)
    threshold_ms = feed.freshness_threshold
    if quote is None or not is_fresh(quote.received_at, now=now, threshold_ms=threshold_ms):
        return None
    return QuoteView(
        feed_id=quote.feed_id,
        venue_id=feed.exchange_id,
        symbol=feed.symbol,
        bid=Price(quote.bid),
        ask=Price(quote.ask),
        bid_size=quote.bid_size,
        ask_size=quote.ask_size,
        mark=None if quote.mark is None else Price(quote.mark),
        received_at=quote.received_at,
    )


@dataclass(frozen=True, slots=True)
class MarketStanding:
    """What is known of one venue's market in a symbol, as far as orders there are concerned.

    `top` is its own fresh top of book; `stand_in` a valid synthetic bid and ask, looked for only
    without one. `status` is that of its feed, None without an enabled feed.
    """

    top: QuoteView | None
    stand_in: tuple[Price, Price] | None
    status: FeedStatus | None

    @property
    def may_increase(self) -> bool:
        """True when positions there may grow."""
        return self.top is not None and self.status is FeedStatus.HEALTHY


UNWATCHED: Final = MarketStanding(None, None, None)


def market_standing(instrument: Instrument, *, now: datetime) -> MarketStanding:
    """Return what is known right now of the instrument's own market."""
    place = (instrument.venue_id, instrument.symbol)
    return market_standings([place], now=now)[place]


def market_standings(places: Collection[Place], *, now: datetime) -> dict[Place, MarketStanding]:
    """Return what is known right now of each of these markets."""
    feeds = _feeds(
        venue_ids=list({venue_id for venue_id, _ in places}),
        symbols=list({symbol for _, symbol in places}),
    )
    found = {(it.exchange_id, it.symbol): it for it in feeds}
    return {
        place: _standing(found[place], now=now) if place in found else UNWATCHED for place in places
    }


@prepared
def _feeds(venue_ids: Any, symbols: Any) -> Any:
    feeds = MarketDataFeed.objects.enabled().filter(exchange__any=venue_ids, symbol__any=symbols)
    return feeds.select_related("quote")


def _standing(feed: MarketDataFeed, *, now: datetime) -> MarketStanding:
    top = _top(feed, now=now)
    stand_in = None if top is not None else _stand_in(feed, now=now)
    return MarketStanding(top, stand_in, FeedStatus(feed.status))


def _stand_in(feed: MarketDataFeed, *, now: datetime) -> tuple[Price, Price] | None:
    validity = min(SYNTHETIC_VALIDITY, timedelta(milliseconds=feed.freshness_threshold))
    found = (
        feed.stand_ins.filter(timestamp__gte=now - validity, timestamp__lte=now)
        .order_by("-timestamp")
        .values_list("bid", "ask")
        .first()
    )
    return None if found is None else (Price(found[0]), Price(found[1]))


def newest_stand_ins(feed_ids: Collection[str]) -> dict[str, SynthPriceSnapshot]:
    """Return the last price that stood in for each of these feeds, however old, by feed."""
    rows = SynthPriceSnapshot.objects.filter(feed__in=feed_ids).order_by("feed_id", "-timestamp")
    return {str(row.feed_id): row for row in rows.distinct("feed_id")}


def instrument_spec(instrument: Instrument) -> InstrumentSpec:
    """Return an instrument's rules as the value that converts and rounds."""
    return InstrumentSpec(
        venue_symbol=instrument.venue_symbol,
        base=instrument.symbol,
        quote=instrument.quote_asset,
        contract_size=instrument.contract_size,
        tick=instrument.tick,
        lot=instrument.lot,
        min_qty=instrument.min_qty,
        max_qty=instrument.max_qty,
        max_market_qty=instrument.max_market_qty,
        min_notional=instrument.min_notional,
    )
