"""Market data on the wire."""

from rest_framework.serializers import ChoiceField

from controlplane.base.api.serializers import EntitySerializer
from markets.domain.venue_status import LEARNT, VenueCondition
from markets.models import (
    FeedTraffic,
    FundingRate,
    Instrument,
    MarketDataFeed,
    Quote,
    SynthPriceSnapshot,
    Venue,
)


class VenueSerializer(EntitySerializer):
    condition = ChoiceField(
        choices=[str(it) for it in VenueCondition],
        read_only=True,
        help_text="The status, unless the venue is disabled or was not measured lately.",
    )

    class Meta:
        model = Venue
        fields = (
            "venue_id",
            "name",
            "dialect",
            "environment",
            "ccxt_id",
            "rest_endpoint",
            "ws_endpoint",
            "is_enabled",
            "condition",
            *LEARNT,
            "created_at",
            "updated_at",
        )
        read_only_fields = LEARNT


class InstrumentSerializer(EntitySerializer):
    class Meta:
        model = Instrument
        fields = (
            "instrument_id",
            "venue",
            "venue_symbol",
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
            "frozen_at",
            "frozen_for",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields


class FeedSerializer(EntitySerializer):
    class Meta:
        model = MarketDataFeed
        fields = (
            "feed_id",
            "exchange",
            "symbol",
            "ws_endpoint",
            "http_endpoint",
            "ws_latency_p95",
            "http_latency_p95",
            "freshness_threshold",
            "failover_deadline",
            "last_heartbeat",
            "status",
            "source",
            "source_since",
            "link",
            "forced_source",
            "synthetic_sources",
            "is_enabled",
            "created_at",
            "updated_at",
        )
        read_only_fields = (
            "ws_latency_p95",
            "http_latency_p95",
            "last_heartbeat",
            "status",
            "source",
            "source_since",
            "link",
            "forced_source",
        )


class QuoteSerializer(EntitySerializer):
    class Meta:
        model = Quote
        fields = (
            "feed",
            "bid",
            "ask",
            "bid_size",
            "ask_size",
            "mark",
            "venue_at",
            "received_at",
            "sequence",
        )
        read_only_fields = fields


class FeedTrafficSerializer(EntitySerializer):
    class Meta:
        model = FeedTraffic
        fields = (
            "feed",
            "since",
            "quotes",
            "message_rate",
            "dropped",
            "gaps",
            "connections",
            "delay_p99",
            "delay_worst",
            "latency_error",
            "clock_offset",
            "marks_are_silent",
            "observed_at",
        )
        read_only_fields = fields


class SynthPriceSerializer(EntitySerializer):
    class Meta:
        model = SynthPriceSnapshot
        fields = (
            "snapshot_id",
            "feed",
            "symbol",
            "source_feeds",
            "mid_price",
            "bid",
            "ask",
            "timestamp",
            "reason",
        )
        read_only_fields = fields


class FundingRateSerializer(EntitySerializer):
    class Meta:
        model = FundingRate
        fields = (
            "funding_rate_id",
            "instrument",
            "rate",
            "funding_time",
            "interval_hours",
            "mark_price",
            "observed_at",
            "is_settled",
        )
        read_only_fields = fields
