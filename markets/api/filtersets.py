"""What market data can be looked up by."""

import django_filters

from controlplane.base.api.filtersets import EntityFilterSet
from markets.models import (
    FeedTraffic,
    FundingRate,
    Instrument,
    MarketDataFeed,
    Quote,
    SynthPriceSnapshot,
    Venue,
)


class VenueFilters(EntityFilterSet):
    class Meta:
        model = Venue
        fields = ("dialect", "environment", "status", "is_enabled", "created_at", "updated_at")


class InstrumentFilters(EntityFilterSet):
    class Meta:
        model = Instrument
        fields = (
            "venue",
            "venue_symbol",
            "symbol",
            "quote_asset",
            "is_active",
            "frozen_at",
            "created_at",
            "updated_at",
        )


class FeedFilters(EntityFilterSet):
    class Meta:
        model = MarketDataFeed
        fields = (
            "exchange",
            "symbol",
            "status",
            "source",
            "forced_source",
            "is_enabled",
            "last_heartbeat",
            "created_at",
            "updated_at",
        )


class QuoteFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("feed__exchange_id", max_length=64)
    symbol = django_filters.CharFilter("feed__symbol", max_length=20)

    class Meta:
        model = Quote
        fields = ("feed", "received_at")


class FeedTrafficFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("feed__exchange_id", max_length=64)
    symbol = django_filters.CharFilter("feed__symbol", max_length=20)

    class Meta:
        model = FeedTraffic
        fields = ("feed", "observed_at")


class SynthPriceFilters(EntityFilterSet):
    class Meta:
        model = SynthPriceSnapshot
        fields = ("symbol", "feed", "source_feeds", "reason", "timestamp")


class FundingRateFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("instrument__venue_id", max_length=64)
    symbol = django_filters.CharFilter("instrument__symbol", max_length=20)

    class Meta:
        model = FundingRate
        fields = ("instrument", "funding_time", "observed_at", "is_settled")
