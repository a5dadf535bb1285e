"""Views of events, alerts, job runs and the audit trail."""

from controlplane.base.api.viewsets import EntityViewSet, ReadOnlyEntityViewSet
from monitoring.api import filtersets, serializers
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent


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


class JobRunViewSet(ReadOnlyEntityViewSet):
    """What the workers did."""

    queryset = JobRun.objects.all()
    serializer_class = serializers.JobRunSerializer
    filterset_class = filtersets.JobRunFilters
