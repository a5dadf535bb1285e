"""Admin pages of modules, allocations and order intents."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from controlplane.base.admin import (
    AuditedModelAdmin,
    ReadOnlyModelAdmin,
    badge,
    confirm_with_reason,
    number,
    related,
    rows_link,
)
from strategies.closing import close_confirm, close_propose
from strategies.config_form import config_widget
from strategies.lifecycle import module_disable, module_enable
from strategies.models import (
    AccountAllocation,
    OrderIntent,
    QuarantinedAnswer,
    RiskLimit,
    StrategyModule,
    UnknownClosure,
)

MODULE_COLOURS = {"enable": "success"}
STATE_COLOURS = {
    "pending": "info",
    "submitted": "primary",
    "filled": "success",
    "cancelled": "warning",
    "failed": "danger",
}
SUBMISSION_COLOURS = {"sending": "info", "acknowledged": "success", "unknown": "danger"}
EVIDENCE_SHOWN = 50
SIDE_COLOURS = {"buy": "success", "sell": "danger"}


@admin.register(StrategyModule)
class StrategyModuleAdmin(AuditedModelAdmin):
    list_display = (
        "module_id",
        "name",
        "type",
        badge("status", _("status"), MODULE_COLOURS),
        "dry_run_enabled",
        "requires_sandbox",
        "max_concurrent_signals",
        number("profit_after_fee_target", _("profit target"), unit="%"),
    )
    list_filter = (("status", ChoicesDropdownFilter), "dry_run_enabled", "requires_sandbox")
    search_fields = ("module_id", "name", "type")
    actions = ("enable", "disable")
    verb_fields = ("status",)
    owned = (AccountAllocation,)
    _allocations = rows_link(
        AccountAllocation, "module__pk__exact", _("allocations"), text=_("Show its allocations")
    )
    _intents = rows_link(OrderIntent, "module__pk__exact", _("intents"), text=_("Show its intents"))
    readonly_fields = (_allocations, _intents)

    def get_form(
        self, request: HttpRequest, obj: StrategyModule | None = None, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, **kwargs)
        widget = config_widget(obj.config_schema) if obj else None
        if widget is not None and "config" in form.base_fields:
            form.base_fields["config"].widget = widget
        return form

    def has_enable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("strategies.enable_strategymodule")

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("strategies.disable_strategymodule")

    @admin.action(permissions=["enable"], description=_("Enable…"))
    def enable(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=module_enable)

    @admin.action(permissions=["disable"], description=_("Disable…"))
    def disable(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=module_disable)


@admin.register(AccountAllocation)
class AccountAllocationAdmin(AuditedModelAdmin):
    list_display = (
        "allocation_id",
        related("module", _("module")),
        related("account", _("account")),
        number("weight", _("weight")),
        "max_concurrent_orders",
        "sandbox_mode",
    )
    list_filter = (
        ("module", AutocompleteSelectFilter),
        ("account", AutocompleteSelectFilter),
        "sandbox_mode",
    )
    list_select_related = ("module", "account")
    search_fields = ("module__module_id", "account__account_id")
    autocomplete_fields = ("module", "account")


@admin.register(RiskLimit)
class RiskLimitAdmin(AuditedModelAdmin):
    list_display = (
        "limit_id",
        "scope",
        related("venue", _("venue")),
        related("account", _("account")),
        related("module", _("module")),
        related("instrument", _("instrument")),
        number("max_order_value", _("largest order"), unit="USD"),
        number("max_long_value", _("long"), unit="USD"),
        number("max_short_value", _("short"), unit="USD"),
        number("max_gross_value", _("gross"), unit="USD"),
        number("max_net_value", _("net"), unit="USD"),
        "max_orders_per_minute",
    )
    list_filter = (("scope", ChoicesDropdownFilter),)
    list_select_related = ("venue", "account", "module", "instrument")
    search_fields = ("venue__venue_id", "account__account_id", "module__module_id")
    autocomplete_fields = ("venue", "account", "module", "instrument")


@admin.register(OrderIntent)
class OrderIntentAdmin(ReadOnlyModelAdmin):
    list_display = (
        "created_at",
        related("account", _("account")),
        related("instrument", _("instrument")),
        badge("side", _("side"), SIDE_COLOURS),
        "type",
        number("amount", _("amount")),
        number("filled_amount", _("filled")),
        number("average_price", _("average price"), unit="USD"),
        badge("state", _("state"), STATE_COLOURS),
        badge("submission", _("submission"), SUBMISSION_COLOURS),
        related("module", _("module")),
        "sandbox",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("submission", ChoicesDropdownFilter),
        ("account", AutocompleteSelectFilter),
        ("module", AutocompleteSelectFilter),
        "sandbox",
    )
    list_select_related = ("account", "instrument", "module")
    search_fields = ("client_order_id__exact",)
    search_help_text = _("Client order id")
    ordering = ("-intent_id",)
    actions = ("propose_close", "confirm_close")
    readonly_fields = ("evidence",)

    def has_propose_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("strategies.propose_close_orderintent")

    def has_confirm_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("strategies.confirm_close_orderintent")

    @admin.action(permissions=["propose_close"], description=_("Propose to close as not accepted…"))
    def propose_close(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=close_propose)

    @admin.action(
        permissions=["confirm_close"], description=_("Confirm the close as not accepted…")
    )
    def confirm_close(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=close_confirm)

    @display(description=_("evidence"))
    def evidence(self, intent: OrderIntent) -> str:
        """Every look for the order, answers not believed, and what people decided."""
        return render_to_string(
            "admin/strategies/evidence.html",
            {
                "steps": intent.resolution_steps.order_by("-step_id")[:EVIDENCE_SHOWN],
                "answers": intent.quarantined_answers.all()[:EVIDENCE_SHOWN],
                "closures": intent.closures.select_related("proposed_by", "confirmed_by"),
            },
        )


@admin.register(QuarantinedAnswer)
class QuarantinedAnswerAdmin(ReadOnlyModelAdmin):
    list_display = ("at", related("intent", _("intent")), "reason")
    list_select_related = ("intent",)
    ordering = ("-answer_id",)


@admin.register(UnknownClosure)
class UnknownClosureAdmin(ReadOnlyModelAdmin):
    list_display = (
        "proposed_at",
        related("intent", _("intent")),
        "proposed_by",
        "proposed_reason",
        "confirmed_by",
        "confirmed_at",
    )
    list_select_related = ("intent", "proposed_by", "confirmed_by")
    ordering = ("-closure_id",)
