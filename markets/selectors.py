"""Reads of market data: prices to rely on, instruments as values."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from markets.domain.instrument import InstrumentSpec
from markets.domain.quotes import SYNTHETIC_VALIDITY, QuoteView, is_fresh, mid, reference
from markets.models import Instrument, Quote, SynthPriceSnapshot


def reference_price(symbol: str, *, now: datetime) -> Decimal | None:
    """Return the symbol's reference price, or None when nothing fresh is known."""
    return reference_prices((symbol,), now=now).get(symbol)


def reference_prices(symbols: Collection[str], *, now: datetime) -> dict[str, Decimal]:
    """Return the reference price of each symbol that has one.

    The median of fresh mids over venues; where no mid is fresh, the newest synthetic price still
    valid. A symbol without either is absent, never zero.
    """
    mids: dict[str, list[Decimal]] = defaultdict(list)
    rows = Quote.objects.of_enabled_feeds(symbols).values_list(
        "feed__symbol", "bid", "ask", "received_at", "feed__freshness_threshold"
    )
    for symbol, bid, ask, received_at, threshold_ms in rows:
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
    quote = (
        Quote.objects.of_enabled_feeds((instrument.symbol,))
        .filter(feed__exchange_id=instrument.venue_id)
        .select_related("feed")
        .first()
    )
    if quote is None or not is_fresh(
        quote.received_at, now=now, threshold_ms=quote.feed.freshness_threshold
    ):
        return None
    return QuoteView(
        feed_id=quote.feed_id,
        venue_id=instrument.venue_id,
        symbol=instrument.symbol,
        bid=quote.bid,
        ask=quote.ask,
        bid_size=quote.bid_size,
        ask_size=quote.ask_size,
        mark=quote.mark,
        received_at=quote.received_at,
    )


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
