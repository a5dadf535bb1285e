"""API routes of strategies."""

from rest_framework.routers import BaseRouter

from strategies.api import viewsets


def register(router: BaseRouter) -> None:
    """Add this app's routes."""
    router.register("strategy-modules", viewsets.ModuleViewSet)
    router.register("allocations", viewsets.AllocationViewSet)
    router.register("risk-limits", viewsets.LimitViewSet)
    router.register("order-intents", viewsets.IntentViewSet)
    router.register("quarantined-answers", viewsets.QuarantinedAnswerViewSet)
    router.register("unknown-closures", viewsets.UnknownClosureViewSet)
