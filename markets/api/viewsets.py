"""Views of market data."""

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base.api.viewsets import EntityViewSet, ReadOnlyEntityViewSet, verb
from markets import failover, listing
from markets.api import filtersets, serializers
from markets.models import (
    FeedTraffic,
    FundingRate,
    Instrument,
    MarketDataFeed,
    Quote,
    SynthPriceSnapshot,
    Venue,
)


class VenueViewSet(EntityViewSet):
    """Places to trade; `venueId` is the `exchange` of accounts and feeds."""

    queryset = Venue.objects.all()
    serializer_class = serializers.VenueSerializer
    filterset_class = filtersets.VenueFilters


class InstrumentViewSet(ReadOnlyEntityViewSet):
    """Contracts as the venues describe them."""

    queryset = Instrument.objects.all()
    serializer_class = serializers.InstrumentSerializer
    filterset_class = filtersets.InstrumentFilters

    @verb("markets.accept_instrument", serializers.InstrumentSerializer)
    def accept(self, request: Request, pk: str) -> Response:
        """Let a frozen instrument be traded again, as its venue lists it now."""
        return self.run_verb(listing.instrument_accept, "instrument")


class FeedViewSet(EntityViewSet):
    """Where prices come from, and how those sources have been lately."""

    queryset = MarketDataFeed.objects.all()
    serializer_class = serializers.FeedSerializer
    filterset_class = filtersets.FeedFilters

    @verb("markets.failover_marketdatafeed", serializers.FeedSerializer)
    def failover(self, request: Request, pk: str) -> Response:
        """Leave the source in use for the next: the stream for HTTP, HTTP for a synthetic price."""
        return self.run_verb(failover.feed_failover, "feed")

    @verb("markets.failover_marketdatafeed", serializers.FeedSerializer)
    def failback(self, request: Request, pk: str) -> Response:
        """Use the best source there is again, once its stream has proven steady."""
        return self.run_verb(failover.feed_failback, "feed")


class QuoteViewSet(ReadOnlyEntityViewSet):
    """The latest top of book of each feed."""

    queryset = Quote.objects.all()
    serializer_class = serializers.QuoteSerializer
    filterset_class = filtersets.QuoteFilters


class FeedTrafficViewSet(ReadOnlyEntityViewSet):
    """What each feed's stream has brought: rates, drops by reason, gaps, delays in ms."""

    queryset = FeedTraffic.objects.all()
    serializer_class = serializers.FeedTrafficSerializer
    filterset_class = filtersets.FeedTrafficFilters


class SynthPriceViewSet(ReadOnlyEntityViewSet):
    """Prices made from other feeds, and why they were needed."""

    queryset = SynthPriceSnapshot.objects.prefetch_related("source_feeds")
    serializer_class = serializers.SynthPriceSerializer
    filterset_class = filtersets.SynthPriceFilters


class FundingRateViewSet(ReadOnlyEntityViewSet):
    """Funding per instrument and settlement; positive means longs pay shorts."""

    queryset = FundingRate.objects.all()
    serializer_class = serializers.FundingRateSerializer
    filterset_class = filtersets.FundingRateFilters
