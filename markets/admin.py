"""Admin pages of market data."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from controlplane.base.admin import (
    AuditedModelAdmin,
    ReadOnlyModelAdmin,
    badge,
    confirm_with_reason,
    duration,
    number,
    related,
    rows_link,
)
from markets.choices import FeedSource, FeedStatus
from markets.domain.venue_status import LEARNT, VenueCondition
from markets.failover import feed_failback, feed_failover
from markets.listing import instrument_accept
from markets.models import (
    FeedTraffic,
    FundingRate,
    Instrument,
    MarketDataFeed,
    Quote,
    StreamHolder,
    StreamLease,
    SynthPriceSnapshot,
    Venue,
    VenueBan,
)

FEED_COLOURS = {
    FeedStatus.HEALTHY: "success",
    FeedStatus.DEGRADED: "warning",
    FeedStatus.FAILING: "danger",
}
CONDITION_COLOURS = {
    VenueCondition.HEALTHY: "success",
    VenueCondition.DEGRADED: "warning",
    VenueCondition.FAILING: "danger",
    VenueCondition.NOT_MEASURED: "warning",
    VenueCondition.DISABLED: "info",
}
SOURCE_COLOURS = {
    FeedSource.WEBSOCKET: "success",
    FeedSource.HTTP: "warning",
    FeedSource.SYNTHETIC: "warning",
    FeedSource.NONE: "danger",
}
ENVIRONMENT_COLOURS = {"live": "danger", "testnet": "warning", "paper": "info"}


@admin.register(Venue)
class VenueAdmin(AuditedModelAdmin):
    list_display = (
        "venue_id",
        "name",
        "dialect",
        badge("environment", _("environment"), ENVIRONMENT_COLOURS),
        badge("condition", _("status"), CONDITION_COLOURS, ordering="status"),
        "status_reason",
        number("clock_offset", _("clock ahead of ours"), unit="ms"),
        "rest_endpoint",
        "is_enabled",
    )
    list_filter = (
        ("dialect", ChoicesDropdownFilter),
        ("environment", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        "is_enabled",
    )
    search_fields = ("venue_id", "name")
    _instruments = rows_link(
        Instrument, "venue__pk__exact", _("instruments"), text=_("Show its instruments")
    )
    _feeds = rows_link(MarketDataFeed, "exchange__pk__exact", _("feeds"), text=_("Show its feeds"))
    readonly_fields = (
        "condition",
        *LEARNT,
        _instruments,
        _feeds,
    )


def _changed(instrument: Instrument) -> str:
    """Return what the venue changed: each rule as last accepted, and as it is now."""
    labels = {field.name: field.verbose_name for field in Instrument._meta.concrete_fields}
    return "; ".join(
        f"{labels.get(name, name)}: {change['from']} → {change['to']}"
        for name, change in sorted(instrument.frozen_for.items())
    )


@admin.register(Instrument)
class InstrumentAdmin(AuditedModelAdmin):
    list_display = (
        "venue_symbol",
        related("venue", _("venue")),
        "symbol",
        "quote_asset",
        number("tick", _("price tick")),
        number("lot", _("size step")),
        number("min_notional", _("smallest value")),
        number("taker_fee", _("taker fee")),
        "is_active",
        "frozen_at",
    )
    list_filter = (
        ("venue", AutocompleteSelectFilter),
        "is_active",
        ("frozen_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("venue",)
    search_fields = ("venue_symbol", "symbol")
    ordering = ("venue_id", "venue_symbol")
    autocomplete_fields = ("venue",)
    readonly_fields = ("frozen_at", "frozen_for")
    actions = ("accept_change",)
    owned = (FundingRate,)

    def has_accept_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("markets.accept_instrument")

    @admin.action(permissions=["accept"], description=_("Accept what the venue changed…"))
    def accept_change(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=instrument_accept, tells=_changed)


@admin.register(MarketDataFeed)
class MarketDataFeedAdmin(AuditedModelAdmin):
    list_display = (
        "feed_id",
        related("exchange", _("exchange")),
        "symbol",
        badge("status", _("status"), FEED_COLOURS),
        badge("source", _("price source"), SOURCE_COLOURS),
        "last_heartbeat",
        duration("ws_latency_p95", _("websocket p95")),
        duration("http_latency_p95", _("HTTP p95")),
        duration("freshness_threshold", _("fresh within")),
        "is_enabled",
    )
    list_filter = (
        ("exchange", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        "is_enabled",
    )
    list_select_related = ("exchange",)
    search_fields = ("feed_id", "symbol")
    autocomplete_fields = ("exchange",)
    actions = ("fail_over", "fail_back")
    readonly_fields = (
        "status",
        "source",
        "source_since",
        "link",
        "forced_source",
        "ws_latency_p95",
        "http_latency_p95",
        "last_heartbeat",
    )
    owned = (Quote, FeedTraffic, SynthPriceSnapshot)

    def has_failover_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("markets.failover_marketdatafeed")

    @admin.action(permissions=["failover"], description=_("Fail over to the next source…"))
    def fail_over(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=feed_failover)

    @admin.action(permissions=["failover"], description=_("Fail back to the stream…"))
    def fail_back(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=feed_failback)


@admin.register(Quote)
class QuoteAdmin(ReadOnlyModelAdmin):
    list_display = (
        related("feed", _("feed")),
        number("bid", _("bid")),
        number("bid_size", _("bid size")),
        number("ask", _("ask")),
        number("ask_size", _("ask size")),
        number("mark", _("mark")),
        "received_at",
        "venue_at",
    )
    list_display_links = None
    list_select_related = ("feed",)
    search_fields = ("feed_id__exact",)
    ordering = ("feed_id",)


@admin.register(FeedTraffic)
class FeedTrafficAdmin(ReadOnlyModelAdmin):
    list_display = (
        related("feed", _("feed")),
        "quotes",
        number("message_rate", _("quotes a second")),
        "dropped",
        "gaps",
        "marks_are_silent",
        "connections",
        duration("latency_error", _("latency error")),
        duration("delay_p99", _("delay p99")),
        duration("delay_worst", _("worst delay")),
        "since",
        "observed_at",
    )
    list_display_links = None
    list_select_related = ("feed",)
    search_fields = ("feed_id__exact",)
    ordering = ("feed_id",)


@admin.register(SynthPriceSnapshot)
class SynthPriceSnapshotAdmin(ReadOnlyModelAdmin):
    list_display = (
        "timestamp",
        "symbol",
        related("feed", _("feed")),
        number("mid_price", _("mid price"), unit="USD", places=6),
        number("bid", _("bid"), unit="USD", places=6),
        number("ask", _("ask"), unit="USD", places=6),
        badge("reason", _("reason"), {"manual": "info"}),
    )
    list_filter = (("feed", AutocompleteSelectFilter), ("reason", ChoicesDropdownFilter))
    list_select_related = ("feed",)
    search_fields = ("symbol__exact",)
    ordering = ("-snapshot_id",)


@admin.register(FundingRate)
class FundingRateAdmin(ReadOnlyModelAdmin):
    list_display = (
        "funding_time",
        related("instrument", _("instrument")),
        number("rate", _("rate")),
        number("interval_hours", _("interval"), unit="h"),
        number("mark_price", _("mark price")),
        "is_settled",
        "observed_at",
    )
    list_filter = (
        ("instrument", AutocompleteSelectFilter),
        ("instrument__venue", AutocompleteSelectFilter),
        "is_settled",
    )
    list_select_related = ("instrument",)
    ordering = ("-funding_time", "instrument_id")


@admin.register(StreamLease)
class StreamLeaseAdmin(ReadOnlyModelAdmin):
    list_display = ("lease_id", "holder", "fence", "expires_at")
    list_filter = ("kind",)
    search_fields = ("lease_id__icontains", "holder__istartswith")
    ordering = ("lease_id",)


@admin.register(StreamHolder)
class StreamHolderAdmin(ReadOnlyModelAdmin):
    list_display = ("holder_id", "kind", "expires_at")
    list_filter = ("kind",)
    search_fields = ("holder_id__icontains",)
    ordering = ("holder_id",)


@admin.register(VenueBan)
class VenueBanAdmin(ReadOnlyModelAdmin):
    list_display = ("key", "banned_until", "reason", "told_at")
    search_fields = ("key__istartswith",)
    ordering = ("-banned_until", "key")
