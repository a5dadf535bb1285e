"""What events, alerts and job runs can be looked up by."""

import django_filters

from controlplane.base.api.filtersets import EntityFilterSet
from controlplane.kernel.events import EventType, Severity
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent


class EventFilters(EntityFilterSet):
    class Meta:
        model = MonitoringEvent
        fields = ("type", "severity", "account_id", "module_id", "created_at")


class AlertRouteFilters(EntityFilterSet):
    class Meta:
        model = AlertRoute
        fields = ("event_type", "min_severity", "is_enabled", "created_at", "updated_at")


class AlertFilters(EntityFilterSet):
    type = django_filters.ChoiceFilter(
        "event__type", choices=[(str(member), str(member)) for member in EventType]
    )
    severity = django_filters.ChoiceFilter(
        "event__severity", choices=[(str(member), str(member)) for member in Severity]
    )

    class Meta:
        model = Alert
        fields = ("event", "state", "acknowledged_at", "created_at", "updated_at")


class JobRunFilters(EntityFilterSet):
    class Meta:
        model = JobRun
        fields = ("job", "cluster", "status", "started_at", "finished_at")
