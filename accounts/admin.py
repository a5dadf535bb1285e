"""Admin pages of accounts, their limits, their proxies and the last truth known of them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.admin import StackedInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.choices import AccountStatus, ProxyStatus, SyncProblem, SyncStatus
from accounts.jobs import session_check_request, sync_request
from accounts.lifecycle import account_pause, account_resume
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
from accounts.proxies import session_assign, session_fail, session_rotate
from controlplane.base.admin import (
    AddressFormField,
    AuditedModelAdmin,
    FieldsMixin,
    ReadOnlyModelAdmin,
    badge,
    confirm_with_reason,
    duration,
    field,
    number,
    related,
    rows_link,
    stop_button,
)

ACCOUNT_COLOURS = {
    AccountStatus.ACTIVE: "success",
    AccountStatus.PAUSED: "warning",
    AccountStatus.EMERGENCY: "danger",
}
PROXY_COLOURS = {
    ProxyStatus.ACTIVE: "success",
    ProxyStatus.ROTATING: "warning",
    ProxyStatus.FAILED: "danger",
}
SYNC_COLOURS = {
    SyncStatus.RUNNING: "info",
    SyncStatus.SUCCESS: "success",
    SyncStatus.PARTIAL: "warning",
    SyncStatus.FAILED: "danger",
}
PROBLEM_COLOURS = dict.fromkeys(SyncProblem, "danger") | {
    SyncProblem.RATE_LIMITED: "warning",
    SyncProblem.HISTORY_UNREAD: "warning",
}


class RiskEnvelopeInline(FieldsMixin, StackedInline):
    """The one envelope of an account, which is made with it."""

    model = RiskEnvelope
    can_delete = False
    min_num = max_num = 1
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ExchangeAccount)
class ExchangeAccountAdmin(AuditedModelAdmin):
    list_display = (
        "account_id",
        "account_name",
        related("exchange", _("exchange")),
        badge("status", _("status"), ACCOUNT_COLOURS),
        number("state__equity", _("equity"), unit="USD", empty=_("unknown"), places=2),
        number("utilization_target_min", _("utilization from")),
        number("utilization_target_max", _("to")),
        number("delta_threshold", _("delta threshold"), unit="BTC"),
        "proxy_profile",
        field("state__balance_at", _("balance read at")),
    )
    list_filter = (("exchange", AutocompleteSelectFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("exchange", "proxy_profile", "state")
    search_fields = ("account_id", "account_name")
    autocomplete_fields = ("exchange", "proxy_profile", "stop_loss_config")
    inlines = (RiskEnvelopeInline,)
    actions = ("sync", "pause", "resume", "reroute")
    actions_detail = ("stop_account", "stop_book")
    stop_account = stop_button(
        "stop_account",
        _("STOP account…"),
        asked=lambda account: {"scope": "account", "target": account.pk},
    )
    stop_book = stop_button(
        "stop_book",
        _("STOP its book…"),
        asked=lambda account: {"scope": "book", "account": account.pk},
    )
    verb_fields = ("status",)
    owned = (RiskEnvelope, AccountState, AccountSyncJob, Position, EquitySample)
    _positions = rows_link(
        Position, "account__pk__exact", _("positions"), text=_("Show its positions")
    )
    _syncs = rows_link(AccountSyncJob, "account__pk__exact", _("syncs"), text=_("Show its syncs"))
    fieldsets = (
        (
            None,
            {
                "fields": [
                    "account_id",
                    "account_name",
                    "exchange",
                    "status",
                    "sync_interval_seconds",
                    "proxy_profile",
                    "proxy_session",
                ]
            },
        ),
        (
            _("Targets and limits"),
            {
                "fields": [
                    "utilization_target_min",
                    "utilization_target_max",
                    "delta_threshold",
                    "max_position_value",
                    "stop_loss_config",
                ]
            },
        ),
        (
            _("Credentials"),
            {
                "fields": ["api_key", "api_secret", "passphrase", "public_key", "agent_key"],
                "description": _("Binance: API key and secret. Aster: public key and agent key."),
            },
        ),
        (_("What is known of it"), {"fields": [_positions, _syncs]}),
    )
    readonly_fields = ("proxy_session", _positions, _syncs)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj else ()

    def has_sync_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.sync_exchangeaccount")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.pause_exchangeaccount")

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.resume_exchangeaccount")

    def has_reroute_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.reroute_exchangeaccount")

    @admin.action(permissions=["sync"], description=_("Sync now…"))
    def sync(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=sync_request)

    @admin.action(permissions=["pause"], description=_("Pause…"))
    def pause(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=account_pause)

    @admin.action(permissions=["resume"], description=_("Resume…"))
    def resume(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=account_resume)

    @admin.action(permissions=["reroute"], description=_("Move to another proxy session…"))
    def reroute(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=session_assign)


@admin.register(RiskEnvelope)
class RiskEnvelopeAdmin(AuditedModelAdmin):
    list_display = (
        "account_id",
        number("max_drawdown_percent", _("largest drawdown"), unit="%"),
        number("max_leverage", _("largest leverage"), unit="×"),
        number("delta_threshold", _("delta threshold"), unit="BTC", empty=_("the account's")),
        number("slippage_tolerance", _("slippage tolerance"), unit="%"),
        number("emergency_stop_loss_seconds", _("emergency stop within"), unit="s"),
    )
    search_fields = ("account__account_id",)
    autocomplete_fields = ("account",)
    list_select_related = ("account",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, "account") if obj else fixed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # An account always has one; it goes when the account goes.
        return False


@admin.register(ProxyProfile)
class ProxyProfileAdmin(AuditedModelAdmin):
    list_display = ("profile_id", "name", "pool", "scheme", "rotation_policy", "rotation_minutes")
    list_filter = (("scheme", ChoicesDropdownFilter), ("rotation_policy", ChoicesDropdownFilter))
    search_fields = ("profile_id", "name")
    autocomplete_fields = ("venues",)
    _sessions = rows_link(
        ProxySession, "proxy_profile__pk__exact", _("sessions"), text=_("Show its sessions")
    )
    readonly_fields = (_sessions,)


@admin.register(ProxySession)
class ProxySessionAdmin(AuditedModelAdmin):
    list_display = (
        "session_id",
        related("proxy_profile", _("proxy profile")),
        "ip",
        "port",
        badge("status", _("status"), PROXY_COLOURS),
        "last_rotation",
        "checked_at",
        "last_error",
    )
    list_filter = (
        ("proxy_profile", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
    )
    list_select_related = ("proxy_profile",)
    search_fields = ("ip",)
    autocomplete_fields = ("proxy_profile",)
    actions = ("rotate", "fail", "check_now")
    verb_fields = ("status",)
    _accounts = rows_link(
        ExchangeAccount, "proxy_session__pk__exact", _("accounts"), text=_("Show its accounts")
    )
    readonly_fields = ("is_held", "last_rotation", "checked_at", "last_error", _accounts)

    def formfield_for_dbfield(
        self, db_field: models.Field, request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        if db_field.name == "ip":
            kwargs.update(form_class=AddressFormField, error_messages=db_field.error_messages)
            kwargs["help_text"] = _("The IP address alone; the profile has the scheme.")
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.rotate_proxysession")

    def has_fail_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.fail_proxysession")

    def has_check_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.check_proxysession")

    @admin.action(permissions=["rotate"], description=_("Rotate now…"))
    def rotate(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=session_rotate)

    @admin.action(permissions=["fail"], description=_("Mark failed…"))
    def fail(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=session_fail)

    @admin.action(permissions=["check"], description=_("Check now…"))
    def check_now(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=session_check_request)


@admin.register(StopLossConfig)
class StopLossConfigAdmin(AuditedModelAdmin):
    list_display = (
        "stop_loss_config_id",
        "name",
        number("max_daily_drawdown_percent", _("day's drawdown"), unit="%"),
        number("max_peak_drawdown_percent", _("from peak"), unit="%"),
        number("max_position_loss", _("loss per position"), unit="USD"),
        "confirmations",
        "action",
    )
    list_filter = (("action", ChoicesDropdownFilter),)
    search_fields = ("stop_loss_config_id", "name")


@admin.register(AccountSyncJob)
class AccountSyncJobAdmin(ReadOnlyModelAdmin):
    list_display = (
        "started_at",
        related("account", _("account")),
        badge("status", _("status"), SYNC_COLOURS),
        duration("duration_ms", _("duration")),
        "positions_seen",
        "open_orders_seen",
        "fills_added",
        "error",
    )
    list_filter = (("account", AutocompleteSelectFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("account",)
    ordering = ("-sync_job_id",)


@admin.register(AccountState)
class AccountStateAdmin(ReadOnlyModelAdmin):
    list_display = (
        "account_id",
        badge("last_error_code", _("problem"), PROBLEM_COLOURS),
        number("equity", _("equity"), unit="USD", empty=_("unknown"), places=2),
        number("available", _("available"), unit="USD", empty=_("unknown"), places=2),
        number("initial_margin", _("initial margin"), unit="USD", empty=_("unknown"), places=2),
        number(
            "maintenance_margin", _("maintenance margin"), unit="USD", empty=_("unknown"), places=2
        ),
        "reconciled_at",
        "stream_at",
        "last_error",
    )
    list_filter = (("last_error_code", ChoicesDropdownFilter),)
    search_fields = ("account__account_id",)
    list_select_related = ("account",)
    ordering = ("account_id",)


@admin.register(Position)
class PositionAdmin(ReadOnlyModelAdmin):
    list_display = (
        "position_id",
        related("account", _("account")),
        related("instrument", _("instrument")),
        number("size", _("size")),
        field("instrument__symbol", _("symbol")),
        number("entry_price", _("entry price"), unit="USD"),
        number("mark_price", _("mark price"), unit="USD"),
        number("unrealized_pnl", _("unrealised result"), unit="USD", places=2),
        number("unexplained", _("unexplained")),
        "disputed_at",
        "sandbox",
        "observed_at",
    )
    list_filter = (
        ("account", AutocompleteSelectFilter),
        ("instrument", AutocompleteSelectFilter),
        "sandbox",
    )
    list_select_related = ("account", "instrument")
    ordering = ("-position_id",)


@admin.register(EquitySample)
class EquitySampleAdmin(ReadOnlyModelAdmin):
    list_display = (
        "at",
        related("account", _("account")),
        number("equity", _("equity"), unit="USD", places=2),
        number("utilization", _("utilization"), empty=_("unknown"), places=4),
    )
    list_filter = (("account", AutocompleteSelectFilter),)
    list_select_related = ("account",)
    ordering = ("-sample_id",)


@admin.register(FundingPayment)
class FundingPaymentAdmin(ReadOnlyModelAdmin):
    list_display = (
        "venue_at",
        related("account", _("account")),
        "venue_symbol",
        number("amount", _("amount"), places=6),
        "asset",
        "payment_id",
    )
    list_filter = (("account", AutocompleteSelectFilter),)
    list_select_related = ("account",)
    ordering = ("-funding_payment_id",)


@admin.register(Transfer)
class TransferAdmin(ReadOnlyModelAdmin):
    list_display = (
        "venue_at",
        related("account", _("account")),
        "kind",
        number("amount", _("amount"), places=6),
        "asset",
        "venue_transfer_id",
    )
    list_filter = (("account", AutocompleteSelectFilter), "kind")
    list_select_related = ("account",)
    ordering = ("-transfer_id",)
