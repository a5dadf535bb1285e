"""What modules, allocations and intents can be looked up by."""

import django_filters

from controlplane.base.api.filtersets import EntityFilterSet
from strategies.models import (
    AccountAllocation,
    OrderIntent,
    QuarantinedAnswer,
    RiskLimit,
    StrategyModule,
    UnknownClosure,
)


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


class QuarantinedAnswerFilters(EntityFilterSet):
    class Meta:
        model = QuarantinedAnswer
        fields = ("intent", "at")


class UnknownClosureFilters(EntityFilterSet):
    class Meta:
        model = UnknownClosure
        fields = ("intent", "proposed_at", "confirmed_at")
