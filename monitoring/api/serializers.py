"""Events, alerts and job runs on the wire."""

from controlplane.base.api.serializers import EntitySerializer
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent


class EventSerializer(EntitySerializer):
    class Meta:
        model = MonitoringEvent
        fields = (
            "event_id",
            "type",
            "severity",
            "account_id",
            "module_id",
            "message",
            "payload",
            "created_at",
        )
        read_only_fields = fields


class AlertRouteSerializer(EntitySerializer):
    class Meta:
        model = AlertRoute
        fields = (
            "route_id",
            "name",
            "event_type",
            "min_severity",
            "target",
            "is_enabled",
            "created_at",
            "updated_at",
        )


class AlertSerializer(EntitySerializer):
    class Meta:
        model = Alert
        fields = (
            "alert_id",
            "event",
            "state",
            "acknowledged_by",
            "acknowledged_at",
            "note",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields


class JobRunSerializer(EntitySerializer):
    class Meta:
        model = JobRun
        fields = (
            "job_run_id",
            "job",
            "cluster",
            "arguments",
            "status",
            "worker",
            "queued_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "error",
        )
        read_only_fields = fields
