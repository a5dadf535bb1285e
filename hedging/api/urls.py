"""API routes of hedging."""

from rest_framework.routers import BaseRouter

from hedging.api import viewsets


def register(router: BaseRouter) -> None:
    """Add this app's routes."""
    router.register("hedge-executions", viewsets.HedgeExecutionViewSet)
    router.register("fills", viewsets.FillViewSet)
    router.register("reconciliation-breaks", viewsets.BreakViewSet)
