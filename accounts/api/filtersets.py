"""What accounts and what belongs to them can be looked up by."""

import django_filters

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
from controlplane.base.api.filtersets import EntityFilterSet


class ProxyProfileFilters(EntityFilterSet):
    class Meta:
        model = ProxyProfile
        fields = ("pool", "scheme", "rotation_policy", "venues", "created_at", "updated_at")


class ProxySessionFilters(EntityFilterSet):
    class Meta:
        model = ProxySession
        fields = ("proxy_profile", "status", "last_rotation", "created_at", "updated_at")


class StopLossConfigFilters(EntityFilterSet):
    class Meta:
        model = StopLossConfig
        fields = ("action", "created_at", "updated_at")


class AccountFilters(EntityFilterSet):
    class Meta:
        model = ExchangeAccount
        fields = (
            "exchange",
            "account_name",
            "status",
            "proxy_profile",
            "proxy_session",
            "stop_loss_config",
            "created_at",
            "updated_at",
        )


class RiskEnvelopeFilters(EntityFilterSet):
    class Meta:
        model = RiskEnvelope
        fields = ("account", "created_at", "updated_at")


class SyncJobFilters(EntityFilterSet):
    class Meta:
        model = AccountSyncJob
        fields = ("account", "proxy_session", "status", "started_at", "finished_at")


class AccountStateFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("account__exchange_id", max_length=64)

    class Meta:
        model = AccountState
        fields = ("account", "balance_at", "positions_at", "reconciled_at")


class PositionFilters(EntityFilterSet):
    exchange = django_filters.CharFilter("instrument__venue_id", max_length=64)
    symbol = django_filters.CharFilter("instrument__symbol", max_length=20)

    class Meta:
        model = Position
        fields = ("account", "instrument", "sandbox", "observed_at", "disputed_at")


class EquitySampleFilters(EntityFilterSet):
    class Meta:
        model = EquitySample
        fields = ("account", "at")


class FundingPaymentFilters(EntityFilterSet):
    class Meta:
        model = FundingPayment
        fields = ("account", "instrument", "venue_symbol", "payment_id", "venue_at")


class TransferFilters(EntityFilterSet):
    class Meta:
        model = Transfer
        fields = ("account", "kind", "asset", "venue_transfer_id", "venue_at")
