"""Admin pages of hedges, fills and differences with a venue."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from controlplane.base.admin import (
    ReadOnlyModelAdmin,
    badge,
    confirm_with_reason,
    duration,
    number,
    related,
    stop_button,
)
from controlplane.base.audit import Actor
from controlplane.kernel.ids import uuid7_floor
from hedging.choices import HedgeResult, TriggerReason
from hedging.models import Fill, HedgeExecution, ReconciliationBreak, ResolutionStep
from hedging.services import book_evaluate, break_accept, break_take

RESULT_COLOURS = {
    HedgeResult.SUCCESS: "success",
    HedgeResult.PARTIAL: "warning",
    HedgeResult.FAIL: "danger",
}
SEVERITY_COLOURS = {"INFO": "info", "WARN": "warning", "CRITICAL": "danger"}
SIDE_COLOURS = {"buy": "success", "sell": "danger"}
AFTER_A_HEDGE = timedelta(seconds=30)


def _hedge_again(hedge: HedgeExecution, *, actor: Actor, reason: str) -> HedgeExecution | None:
    """Look at the book of an earlier hedge now, and hedge it where it is out of its threshold."""
    return book_evaluate(
        key=hedge.book, trigger_reason=TriggerReason.MANUAL, actor=actor, reason=reason
    )


@admin.register(HedgeExecution)
class HedgeExecutionAdmin(ReadOnlyModelAdmin):
    list_display = (
        "created_at",
        "book",
        "symbol",
        number("delta_before", _("delta before"), unit="BTC", places=6),
        number("delta_after", _("delta after"), unit="BTC", places=6),
        number("threshold", _("threshold"), unit="BTC"),
        "trigger_reason",
        badge("result", _("result"), RESULT_COLOURS),
        duration("duration_ms", _("duration")),
        number("slippage_bp", _("slippage"), unit="bp", places=2),
    )
    list_filter = (
        ("result", ChoicesDropdownFilter),
        ("trigger_reason", ChoicesDropdownFilter),
        ("primary_account", AutocompleteSelectFilter),
    )
    list_select_related = ("primary_account", "hedge_account")
    search_fields = ("book__exact",)
    search_help_text = _("Book")
    ordering = ("-execution_id",)
    actions = ("hedge_book",)
    actions_detail = ("stop_book",)
    stop_book = stop_button(
        "stop_book",
        _("STOP its book…"),
        asked=lambda hedge: {"scope": "book", "target": hedge.book},
    )
    readonly_fields = ("orders_and_fills", "events")
    fieldsets = (
        (
            _("Decision"),
            {
                "fields": [
                    "book",
                    "symbol",
                    "trigger_reason",
                    "reason",
                    "delta_before",
                    "threshold",
                    "decision_mid",
                    "decision_inputs",
                    "orders",
                    "created_at",
                ]
            },
        ),
        (_("Orders and fills"), {"fields": ["orders_and_fills"]}),
        (
            _("Outcome"),
            {
                "fields": [
                    "result",
                    "delta_after",
                    "duration_ms",
                    "slippage_bp",
                    "seconds_out_of_band",
                    "finished_at",
                    "primary_account",
                    "hedge_account",
                    "events",
                ]
            },
        ),
    )

    def has_hedge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hedging.hedge_book")

    @admin.action(permissions=["hedge"], description=_("Hedge the book now…"))
    def hedge_book(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=_hedge_again)

    @display(description=_("orders and fills"))
    def orders_and_fills(self, hedge: HedgeExecution) -> str:
        """Every order of the hedge with the fills that came of it."""
        intents = hedge.intents.select_related("account", "instrument").prefetch_related("fills")
        return render_to_string(
            "admin/hedging/orders_and_fills.html", {"intents": intents.order_by("intent_id")}
        )

    @display(description=_("events"))
    def events(self, hedge: HedgeExecution) -> Any:
        """The list of events between the decision and a while after the end."""
        until = (hedge.finished_at or timezone.now()) + AFTER_A_HEDGE
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500 underline" '
            'href="{}?event_id__gte={}&event_id__lt={}">{}</a>',
            reverse("admin:monitoring_monitoringevent_changelist"),
            uuid7_floor(hedge.created_at),
            uuid7_floor(until),
            _("Show what happened then"),
        )


@admin.register(Fill)
class FillAdmin(ReadOnlyModelAdmin):
    list_display = (
        "venue_at",
        related("account", _("account")),
        related("instrument", _("instrument")),
        badge("side", _("side"), SIDE_COLOURS),
        number("amount", _("amount")),
        number("price", _("price"), unit="USD"),
        number("fee", _("fee"), places=6),
        "fee_asset",
        "is_maker",
        related("intent", _("intent")),
        "made_by",
        "sandbox",
    )
    list_filter = (
        ("account", AutocompleteSelectFilter),
        ("instrument", AutocompleteSelectFilter),
        "sandbox",
    )
    list_select_related = ("account", "instrument", "intent")
    ordering = ("-fill_id",)

    @display(description=_("made by"))
    def made_by(self, fill: Fill) -> str:
        return str(fill.origin)


@admin.register(ReconciliationBreak)
class ReconciliationBreakAdmin(ReadOnlyModelAdmin):
    list_display = (
        "opened_at",
        related("account", _("account")),
        related("instrument", _("instrument")),
        "kind",
        "subject",
        badge("severity", _("severity"), SEVERITY_COLOURS),
        badge("status", _("status"), {"open": "danger", "resolved": "success"}),
        "owner",
        "age",
        "closed_at",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("account", AutocompleteSelectFilter),
    )
    list_select_related = ("account", "instrument", "owner")
    ordering = ("-break_id",)
    actions = ("take", "accept")

    @display(description=_("age"))
    def age(self, row: ReconciliationBreak) -> str:
        return timesince(row.opened_at, row.closed_at or timezone.now())

    def has_take_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hedging.take_reconciliationbreak")

    def has_accept_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hedging.accept_reconciliationbreak")

    @admin.action(permissions=["take"], description=_("Take on…"))
    def take(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=break_take)

    @admin.action(permissions=["accept"], description=_("Accept what the venue says…"))
    def accept(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=break_accept)


@admin.register(ResolutionStep)
class ResolutionStepAdmin(ReadOnlyModelAdmin):
    list_display = (
        "at",
        related("intent", _("intent")),
        "by_id",
        "listed",
        "trades",
        "position",
        badge("verdict", _("verdict"), {"found": "success", "unknown": "danger"}),
        "note",
    )
    list_filter = (("verdict", ChoicesDropdownFilter),)
    list_select_related = ("intent",)
    ordering = ("-step_id",)
