"""API routes of monitoring."""

from rest_framework.routers import BaseRouter

from monitoring.api import viewsets


def register(router: BaseRouter) -> None:
    """Add this app's routes."""
    router.register("monitoring-events", viewsets.EventViewSet)
    router.register("alerts", viewsets.AlertViewSet)
    router.register("alert-routes", viewsets.AlertRouteViewSet)
    router.register("job-runs", viewsets.JobRunViewSet)
