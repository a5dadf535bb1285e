"""Admin page of stop rules."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from controlplane.base.admin import AuditedModelAdmin, number, related
from hedging.models import StopRule


@admin.register(StopRule)
class StopRuleAdmin(AuditedModelAdmin):
    list_display = (
        "stop_rule_id",
        "trigger",
        related("account", _("account")),
        number("threshold", _("beyond")),
        "window_seconds",
        "confirmations",
        "scope",
        "action",
        "is_enabled",
    )
    list_filter = (
        ("trigger", ChoicesDropdownFilter),
        ("action", ChoicesDropdownFilter),
        "is_enabled",
    )
    list_select_related = ("account",)
    search_fields = ("stop_rule_id", "account__account_id")
    autocomplete_fields = ("account",)
