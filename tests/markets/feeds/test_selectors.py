"""Which prices may be relied on."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from markets import selectors
from markets.models import MarketDataFeed, Quote, SynthPriceSnapshot
from tests import factories

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def quote(feed: MarketDataFeed, bid: str, ask: str, *, age_ms: int = 0, **fields: Any) -> Quote:
    return Quote.objects.create(
        feed=feed,
        bid=Decimal(bid),
        ask=Decimal(ask),
        bid_size=Decimal(1),
        ask_size=Decimal(2),
        venue_at=NOW,
        received_at=NOW - timedelta(milliseconds=age_ms),
        sequence=1,
        **fields,
    )


def synthetic(symbol: str, price: str, *, age_ms: int) -> SynthPriceSnapshot:
    return SynthPriceSnapshot.objects.create(
        symbol=symbol,
        mid_price=Decimal(price),
        bid=Decimal(price),
        ask=Decimal(price),
        timestamp=NOW - timedelta(milliseconds=age_ms),
        reason="ws-failover",
    )


def test_reference_price_is_the_median_of_fresh_mids() -> None:
    for bid, ask in (("99", "101"), ("109", "111"), ("100", "104")):
        quote(factories.feed(), bid, ask)
    assert selectors.reference_price("BTC", now=NOW) == Decimal(102)


def test_quote_older_than_its_feed_allows_is_no_price() -> None:
    quote(factories.feed(freshness_threshold=2000), "99", "101", age_ms=2000)
    quote(factories.feed(freshness_threshold=500), "199", "201", age_ms=501)
    assert selectors.reference_price("BTC", now=NOW) == Decimal(100)
    assert selectors.reference_price("BTC", now=NOW + timedelta(milliseconds=1)) is None


def test_quote_from_the_future_is_no_price() -> None:
    quote(factories.feed(), "99", "101", age_ms=-1001)
    assert selectors.reference_price("BTC", now=NOW) is None


def test_disabled_feed_gives_no_price() -> None:
    quote(factories.feed(is_enabled=False), "99", "101")
    quote(factories.feed(exchange=factories.venue(is_enabled=False)), "99", "101")
    assert selectors.reference_prices(["BTC"], now=NOW) == {}


def test_newest_valid_synthetic_price_stands_in_only_where_no_mid_is_fresh() -> None:
    quote(factories.feed(), "99", "101")
    for symbol in ("BTC", "ETH"):
        synthetic(symbol, "5", age_ms=1900)
        synthetic(symbol, "6", age_ms=1800)
        synthetic(symbol, "7", age_ms=-1)
    synthetic("SOL", "8", age_ms=2001)
    prices = selectors.reference_prices(["BTC", "ETH", "SOL"], now=NOW)
    assert prices == {"BTC": Decimal(100), "ETH": Decimal(6)}


def test_many_symbols_cost_two_queries(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    symbols = [f"S{number}" for number in range(30)]
    for symbol in symbols[:20]:
        quote(factories.feed(symbol=symbol), "99", "101")
    with django_assert_num_queries(2):
        assert len(selectors.reference_prices(symbols, now=NOW)) == 20


def test_fresh_quote_is_that_of_the_instruments_own_venue() -> None:
    instrument = factories.instrument()
    own = factories.feed(exchange=instrument.venue)
    quote(factories.feed(), "1", "2")
    assert selectors.fresh_quote(instrument, now=NOW) is None
    quote(own, "99", "101", mark=Decimal("100.5"))
    view = selectors.fresh_quote(instrument, now=NOW)
    assert view is not None
    assert (view.feed_id, view.bid, view.ask, view.mid) == (own.pk, 99, 101, 100)
    assert (view.bid_size, view.ask_size, view.mark) == (1, 2, Decimal("100.5"))
    assert selectors.fresh_quote(instrument, now=NOW + timedelta(seconds=2.001)) is None


def test_instrument_spec_carries_the_rules_of_the_row() -> None:
    instrument = factories.instrument(contract_size=Decimal("0.001"), max_qty=Decimal(7))
    spec = selectors.instrument_spec(instrument)
    assert (spec.venue_symbol, spec.base, spec.quote) == ("BTCUSDT", "BTC", "USDT")
    assert (spec.contract_size, spec.tick, spec.lot) == (
        Decimal("0.001"),
        Decimal("0.1"),
        Decimal("0.001"),
    )
    assert (spec.min_qty, spec.max_qty, spec.min_notional) == (Decimal("0.001"), 7, 5)
