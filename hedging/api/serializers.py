"""Hedges, fills and breaks on the wire."""

from controlplane.base.api.serializers import EntitySerializer
from hedging.models import Fill, HedgeExecution, ReconciliationBreak


class HedgeExecutionSerializer(EntitySerializer):
    class Meta:
        model = HedgeExecution
        fields = (
            "execution_id",
            "book",
            "symbol",
            "primary_account",
            "hedge_account",
            "delta_before",
            "delta_after",
            "threshold",
            "orders",
            "intents",
            "decision_inputs",
            "trigger_reason",
            "decision_mid",
            "slippage_bp",
            "seconds_out_of_band",
            "duration_ms",
            "result",
            "reason",
            "created_at",
            "finished_at",
        )
        read_only_fields = fields


class FillSerializer(EntitySerializer):
    class Meta:
        model = Fill
        fields = (
            "fill_id",
            "account",
            "instrument",
            "intent",
            "sandbox",
            "trade_id",
            "venue_order_id",
            "client_order_id",
            "side",
            "amount",
            "price",
            "fee",
            "fee_asset",
            "is_maker",
            "venue_at",
            "recorded_at",
        )
        read_only_fields = fields


class BreakSerializer(EntitySerializer):
    class Meta:
        model = ReconciliationBreak
        fields = (
            "break_id",
            "account",
            "instrument",
            "kind",
            "status",
            "details",
            "owner",
            "resolution",
            "opened_at",
            "closed_at",
        )
        read_only_fields = fields
