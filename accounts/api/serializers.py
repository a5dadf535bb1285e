"""Accounts, their limits and their egress on the wire."""

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.models import (
    AccountState,
    AccountSyncJob,
    EquitySample,
    ExchangeAccount,
    FundingPayment,
    Position,
    ProxyProfile,
    ProxySession,
    RiskEnvelope,
    StopLossConfig,
    Transfer,
)
from controlplane.base.api.fields import NumberField
from controlplane.base.api.serializers import EntitySerializer


class ProxyProfileSerializer(EntitySerializer):
    class Meta:
        model = ProxyProfile
        fields = (
            "profile_id",
            "name",
            "pool",
            "scheme",
            "rotation_policy",
            "rotation_minutes",
            "venues",
            "created_at",
            "updated_at",
        )


class ProxySessionSerializer(EntitySerializer):
    class Meta:
        model = ProxySession
        fields = (
            "session_id",
            "proxy_profile",
            "ip",
            "port",
            "auth",
            "accounts",
            "last_rotation",
            "status",
            "is_held",
            "checked_at",
            "last_error",
            "created_at",
            "updated_at",
        )
        read_only_fields = (
            "accounts",
            "last_rotation",
            "status",
            "is_held",
            "checked_at",
            "last_error",
        )


class StopLossConfigSerializer(EntitySerializer):
    class Meta:
        model = StopLossConfig
        fields = (
            "stop_loss_config_id",
            "name",
            "max_daily_drawdown_percent",
            "max_peak_drawdown_percent",
            "max_position_loss",
            "confirmations",
            "action",
            "cool_down_seconds",
            "created_at",
            "updated_at",
        )


class AccountSerializer(EntitySerializer):
    """`status` moves by the verbs pause and resume, each with a reason."""

    class Meta:
        model = ExchangeAccount
        fields = (
            "account_id",
            "exchange",
            "account_name",
            "public_key",
            "api_key",
            "api_secret",
            "passphrase",
            "agent_key",
            "proxy_profile",
            "proxy_session",
            "utilization_target_min",
            "utilization_target_max",
            "delta_threshold",
            "max_position_value",
            "stop_loss_config",
            "status",
            "sync_interval_seconds",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("proxy_session", "status")


class RiskEnvelopeSerializer(EntitySerializer):
    class Meta:
        model = RiskEnvelope
        fields = (
            "envelope_id",
            "account",
            "max_drawdown_percent",
            "max_leverage",
            "delta_threshold",
            "slippage_tolerance",
            "emergency_stop_loss_seconds",
            "created_at",
            "updated_at",
        )


class SyncJobSerializer(EntitySerializer):
    class Meta:
        model = AccountSyncJob
        fields = (
            "sync_job_id",
            "account",
            "proxy_session",
            "status",
            "started_at",
            "finished_at",
            "duration_ms",
            "positions_seen",
            "open_orders_seen",
            "fills_added",
            "error",
        )
        read_only_fields = fields


class AccountStateSerializer(EntitySerializer):
    class Meta:
        model = AccountState
        fields = (
            "account",
            "settlement_asset",
            "equity",
            "wallet_balance",
            "available",
            "initial_margin",
            "maintenance_margin",
            "balance_at",
            "positions_at",
            "orders_at",
            "fills_at",
            "open_orders",
            "stream_at",
            "reconciled_at",
            "recovery_at",
            "funding_at",
            "transfers_at",
            "base_cash",
            "base_cash_at",
            "cash_agreed_at",
            "cash_unexplained",
            "cash_unexplained_at",
            "stop_loss_at",
            "stop_loss_action",
            "rearmed_at",
            "last_error",
            "last_error_code",
            "unknown_symbols",
        )
        read_only_fields = fields


class PositionSerializer(EntitySerializer):
    class Meta:
        model = Position
        fields = (
            "position_id",
            "account",
            "instrument",
            "sandbox",
            "size",
            "entry_price",
            "mark_price",
            "unrealized_pnl",
            "liquidation_price",
            "initial_margin",
            "unexplained",
            "disputed_at",
            "observed_at",
        )
        read_only_fields = fields


class EquitySampleSerializer(EntitySerializer):
    class Meta:
        model = EquitySample
        fields = ("sample_id", "account", "equity", "utilization", "at")
        read_only_fields = fields


class FundingPaymentSerializer(EntitySerializer):
    class Meta:
        model = FundingPayment
        fields = (
            "funding_payment_id",
            "account",
            "instrument",
            "venue_symbol",
            "payment_id",
            "amount",
            "asset",
            "venue_at",
            "recorded_at",
        )
        read_only_fields = fields


class TransferSerializer(EntitySerializer):
    class Meta:
        model = Transfer
        fields = (
            "transfer_id",
            "account",
            "venue_transfer_id",
            "kind",
            "amount",
            "asset",
            "venue_at",
            "recorded_at",
        )
        read_only_fields = fields


class WhatIfQuery(serializers.Serializer):
    """The move asked about."""

    move = NumberField(
        min_value=-99,
        max_value=1000,
        help_text=_("How far all prices move, in per cent; negative is down."),
    )


class PositionAfterSerializer(serializers.Serializer):
    """A position after the move; null where unknown."""

    venueSymbol = serializers.CharField(source="name", help_text=_("The venue's own name."))
    price = NumberField(allow_null=True, help_text=_("The mark price after the move."))
    result = NumberField(allow_null=True, help_text=_("What the move makes of it, USD."))
    liquidationDistance = NumberField(
        source="distance",
        allow_null=True,
        help_text=_("How far the price may then still go against it, as a share of the price."),
    )


class WhatIfSerializer(serializers.Serializer):
    """An account after a move of all prices; null where something is unknown, never zero."""

    equity = NumberField(allow_null=True, help_text=_("USD."))
    initialMargin = NumberField(source="initial_margin", allow_null=True, help_text=_("USD."))
    utilization = NumberField(allow_null=True, help_text=_("Initial margin / equity."))
    liquidationDistance = NumberField(
        source="distance", allow_null=True, help_text=_("That of the nearest position.")
    )
    positions = PositionAfterSerializer(many=True, help_text=_("What the account holds."))
