"""What hedges, fills and breaks can be looked up by."""

import django_filters

from controlplane.base.api.filtersets import EntityFilterSet
from hedging.models import Fill, HedgeExecution, ReconciliationBreak, ResolutionStep


class HedgeExecutionFilters(EntityFilterSet):
    class Meta:
        model = HedgeExecution
        fields = (
            "book",
            "symbol",
            "primary_account",
            "hedge_account",
            "trigger_reason",
            "result",
            "created_at",
            "finished_at",
        )


class FillFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("instrument__venue_id", max_length=64)
    symbol = django_filters.CharFilter("instrument__symbol", max_length=20)

    class Meta:
        model = Fill
        fields = (
            "account",
            "instrument",
            "intent",
            "sandbox",
            "trade_id",
            "venue_order_id",
            "client_order_id",
            "side",
            "is_maker",
            "venue_at",
            "recorded_at",
        )


class BreakFilters(EntityFilterSet):
    class Meta:
        model = ReconciliationBreak
        fields = (
            "account",
            "instrument",
            "kind",
            "severity",
            "status",
            "owner",
            "opened_at",
            "closed_at",
        )


class ResolutionStepFilters(EntityFilterSet):
    class Meta:
        model = ResolutionStep
        fields = ("intent", "verdict", "at")
