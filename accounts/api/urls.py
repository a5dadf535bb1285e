"""API routes of accounts."""

from rest_framework.routers import BaseRouter

from accounts.api import viewsets


def register(router: BaseRouter) -> None:
    """Add this app's routes."""
    router.register("accounts", viewsets.AccountViewSet)
    router.register("risk-envelopes", viewsets.RiskEnvelopeViewSet)
    router.register("proxy-profiles", viewsets.ProxyProfileViewSet)
    router.register("proxy-sessions", viewsets.ProxySessionViewSet)
    router.register("stop-loss-configs", viewsets.StopLossConfigViewSet)
    router.register("sync-jobs", viewsets.SyncJobViewSet)
    router.register("account-states", viewsets.AccountStateViewSet)
    router.register("positions", viewsets.PositionViewSet)
    router.register("equity-samples", viewsets.EquitySampleViewSet)
    router.register("funding-payments", viewsets.FundingPaymentViewSet)
    router.register("transfers", viewsets.TransferViewSet)
