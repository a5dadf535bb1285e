"""API routes of hedging."""

from rest_framework.routers import BaseRouter

from hedging.api import viewsets
from hedging.api.books import BookViewSet
from hedging.api.emergency import EmergencyStopViewSet, StoppedAccountViewSet
from hedging.api.holding import DustViewSet, ThrottleViewSet
from hedging.api.rules import StopRuleViewSet


def register(router: BaseRouter) -> None:
    """Add this app's routes."""
    router.register("books", BookViewSet, "book")
    router.register("hedge-executions", viewsets.HedgeExecutionViewSet)
    router.register("fills", viewsets.FillViewSet)
    router.register("reconciliation-breaks", viewsets.BreakViewSet)
    router.register("resolution-steps", viewsets.ResolutionStepViewSet)
    router.register("hedge-throttles", ThrottleViewSet)
    router.register("hedge-dust", DustViewSet)
    router.register("stop-rules", StopRuleViewSet)
    router.register("emergency-stops", EmergencyStopViewSet)
    router.register("stopped-accounts", StoppedAccountViewSet)
