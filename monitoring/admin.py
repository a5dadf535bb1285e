"""Admin pages of events, alerts and jobs."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from controlplane.base.admin import (
    AuditedModelAdmin,
    ReadOnlyModelAdmin,
    badge,
    confirm_with_reason,
    duration,
    related,
)
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent
from monitoring.services import alert_acknowledge

SEVERITY_COLOURS = {"INFO": "info", "WARN": "warning", "CRITICAL": "danger"}
ALERT_COLOURS = {"open": "danger", "acknowledged": "warning", "closed": "success"}
JOB_COLOURS = {
    "running": "info",
    "success": "success",
    "failed": "warning",
    "errored": "danger",
}


@admin.register(MonitoringEvent)
class MonitoringEventAdmin(ReadOnlyModelAdmin):
    list_display = (
        "created_at",
        badge("severity", _("severity"), SEVERITY_COLOURS),
        "type",
        "message",
        "account_id",
        "module_id",
    )
    list_filter = (("severity", ChoicesDropdownFilter), ("type", ChoicesDropdownFilter))
    search_fields = ("account_id__exact",)
    search_help_text = _("Account")
    ordering = ("-event_id",)

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        # Other pages link to a stretch of time as a range of keys.
        return lookup in {"event_id__gte", "event_id__lt", "account_id", "module_id"} or bool(
            super().lookup_allowed(lookup, value, request)
        )


@admin.register(AlertRoute)
class AlertRouteAdmin(AuditedModelAdmin):
    list_display = (
        "route_id",
        "name",
        "event_type",
        badge("min_severity", _("from severity"), SEVERITY_COLOURS),
        "is_enabled",
    )
    list_filter = (("min_severity", ChoicesDropdownFilter), "is_enabled")
    search_fields = ("route_id", "name")


@admin.register(Alert)
class AlertAdmin(ReadOnlyModelAdmin):
    list_display = (
        "created_at",
        badge("state", _("state"), ALERT_COLOURS),
        badge("event__severity", _("severity"), SEVERITY_COLOURS),
        related("event", _("event")),
        "acknowledged_by",
        "acknowledged_at",
    )
    list_filter = (("state", ChoicesDropdownFilter),)
    list_select_related = ("event", "acknowledged_by")
    ordering = ("-alert_id",)
    actions = ("acknowledge",)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("monitoring.acknowledge_alert")

    @admin.action(permissions=["acknowledge"], description=_("Acknowledge…"))
    def acknowledge(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=alert_acknowledge)


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyModelAdmin):
    list_display = (
        "started_at",
        "job",
        "cluster",
        badge("status", _("status"), JOB_COLOURS),
        duration("duration_ms", _("duration")),
        "worker",
        "arguments",
    )
    list_filter = (("status", ChoicesDropdownFilter),)
    search_fields = ("job__exact",)
    search_help_text = _("Job")
    ordering = ("-job_run_id",)
