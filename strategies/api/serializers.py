"""Modules, allocations and intents on the wire."""

from controlplane.base.api.serializers import EntitySerializer
from strategies.models import (
    AccountAllocation,
    OrderIntent,
    QuarantinedAnswer,
    RiskLimit,
    StrategyModule,
    UnknownClosure,
)


class ModuleSerializer(EntitySerializer):
    """`status` moves by the verbs enable and disable, each with a reason."""

    class Meta:
        model = StrategyModule
        fields = (
            "module_id",
            "name",
            "type",
            "config_schema",
            "config",
            "dry_run_enabled",
            "max_concurrent_signals",
            "profit_after_fee_target",
            "requires_sandbox",
            "status",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("status",)


class AllocationSerializer(EntitySerializer):
    class Meta:
        model = AccountAllocation
        fields = (
            "allocation_id",
            "module",
            "account",
            "weight",
            "max_concurrent_orders",
            "sandbox_mode",
            "created_at",
            "updated_at",
        )


class LimitSerializer(EntitySerializer):
    """USD; null is no limit. Give the one target that the scope names, none for the firm."""

    class Meta:
        model = RiskLimit
        fields = (
            "limit_id",
            "scope",
            "venue",
            "account",
            "module",
            "instrument",
            "max_order_value",
            "max_long_value",
            "max_short_value",
            "max_gross_value",
            "max_net_value",
            "max_orders_per_minute",
            "created_at",
            "updated_at",
        )


class IntentSerializer(EntitySerializer):
    class Meta:
        model = OrderIntent
        fields = (
            "intent_id",
            "module",
            "account",
            "instrument",
            "symbol",
            "side",
            "type",
            "amount",
            "price",
            "reduce_only",
            "sandbox",
            "expected_profit_after_fee",
            "hedge_pair_intent",
            "state",
            "submission",
            "client_order_id",
            "venue_order_id",
            "filled_amount",
            "average_price",
            "fee",
            "reason",
            "proxy_session",
            "signed_at",
            "expires_at",
            "acknowledged_at",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields


class QuarantinedAnswerSerializer(EntitySerializer):
    class Meta:
        model = QuarantinedAnswer
        fields = ("answer_id", "intent", "at", "reason", "body")
        read_only_fields = fields


class UnknownClosureSerializer(EntitySerializer):
    class Meta:
        model = UnknownClosure
        fields = (
            "closure_id",
            "intent",
            "proposed_by",
            "proposed_at",
            "proposed_reason",
            "confirmed_by",
            "confirmed_at",
            "confirmed_reason",
        )
        read_only_fields = fields
