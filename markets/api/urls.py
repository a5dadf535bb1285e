"""API routes of market data."""

from rest_framework.routers import BaseRouter

from markets.api import viewsets


def register(router: BaseRouter) -> None:
    """Add this app's routes."""
    router.register("venues", viewsets.VenueViewSet)
    router.register("instruments", viewsets.InstrumentViewSet)
    router.register("market-feeds", viewsets.FeedViewSet)
    router.register("quotes", viewsets.QuoteViewSet)
    router.register("feed-traffic", viewsets.FeedTrafficViewSet)
    router.register("synth-prices", viewsets.SynthPriceViewSet)
    router.register("funding-rates", viewsets.FundingRateViewSet)
