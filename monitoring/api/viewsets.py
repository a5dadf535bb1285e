"""Views of events, alerts, job runs and the audit trail."""

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base.api.viewsets import EntityViewSet, ReadOnlyEntityViewSet, verb
from monitoring.api import filtersets, serializers
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent
from monitoring.services import alert_acknowledge


class EventViewSet(ReadOnlyEntityViewSet):
    """What happened; append-only."""

    queryset = MonitoringEvent.objects.all()
    serializer_class = serializers.EventSerializer
    filterset_class = filtersets.EventFilters


class AlertRouteViewSet(EntityViewSet):
    """Which events are sent where."""

    queryset = AlertRoute.objects.all()
    serializer_class = serializers.AlertRouteSerializer
    filterset_class = filtersets.AlertRouteFilters


class AlertViewSet(ReadOnlyEntityViewSet):
    """Events that a person must see."""

    queryset = Alert.objects.all()
    serializer_class = serializers.AlertSerializer
    filterset_class = filtersets.AlertFilters

    @verb("monitoring.acknowledge_alert", serializers.AlertSerializer)
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Say that somebody has seen this alert."""
        return self.run_verb(alert_acknowledge, "alert")


class JobRunViewSet(ReadOnlyEntityViewSet):
    """What the workers did."""

    queryset = JobRun.objects.all()
    serializer_class = serializers.JobRunSerializer
    filterset_class = filtersets.JobRunFilters
