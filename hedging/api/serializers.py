"""Hedges, fills and breaks on the wire."""

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from controlplane.base.api.serializers import EntitySerializer
from hedging.domain.origin import Origin
from hedging.models import Fill, HedgeExecution, ReconciliationBreak, ResolutionStep


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
    origin = serializers.ChoiceField(
        choices=[str(origin) for origin in Origin],
        read_only=True,
        help_text=_("ours, or who else made the trade."),
    )

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
            "origin",
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
            "subject",
            "severity",
            "status",
            "details",
            "owner",
            "resolution",
            "opened_at",
            "seen_at",
            "closed_at",
        )
        read_only_fields = fields


class ResolutionStepSerializer(EntitySerializer):
    class Meta:
        model = ResolutionStep
        fields = (
            "step_id",
            "intent",
            "at",
            "by_id",
            "listed",
            "trades",
            "position",
            "verdict",
            "note",
        )
        read_only_fields = fields
