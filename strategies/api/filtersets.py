"""What modules, allocations and intents can be looked up by."""

import django_filters

from controlplane.base.api.filtersets import EntityFilterSet
from strategies.models import AccountAllocation, OrderIntent, RiskLimit, StrategyModule


class ModuleFilters(EntityFilterSet):
    class Meta:
        model = StrategyModule
        fields = (
            "type",
            "status",
            "dry_run_enabled",
            "requires_sandbox",
            "created_at",
            "updated_at",
        )


class AllocationFilters(EntityFilterSet):
    class Meta:
        model = AccountAllocation
        fields = ("module", "account", "sandbox_mode", "created_at", "updated_at")


class LimitFilters(EntityFilterSet):
    class Meta:
        model = RiskLimit
        fields = (
            "scope",
            "venue",
            "account",
            "module",
            "instrument",
            "created_at",
            "updated_at",
        )


class IntentFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("instrument__venue_id", max_length=64)

    class Meta:
        model = OrderIntent
        fields = (
            "module",
            "account",
            "instrument",
            "symbol",
            "side",
            "type",
            "reduce_only",
            "sandbox",
            "hedge_pair_intent",
            "state",
            "submission",
            "client_order_id",
            "venue_order_id",
            "created_at",
            "updated_at",
        )
