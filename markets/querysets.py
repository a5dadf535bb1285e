"""Filters and annotations on one model of market data."""

from collections.abc import Collection
from datetime import datetime

from django.db import models
from django.db.models import OuterRef

from markets.choices import FeedStatus


class VenueQuerySet(models.QuerySet):
    """Venues."""

    def in_use(self) -> "VenueQuerySet":
        """Venues that are switched on and have a running feed or an account."""
        is_used = models.Q(feeds__is_enabled=True) | models.Q(accounts__isnull=False)
        return self.filter(is_used, is_enabled=True).distinct()


class InstrumentQuerySet(models.QuerySet):
    """Instruments."""

    def tradable(self, *, venue_id: str | OuterRef, symbol: str | OuterRef) -> "InstrumentQuerySet":
        """Active contracts of a base asset on a venue, the most usual quote asset first."""
        return self.filter(venue_id=venue_id, symbol=symbol, is_active=True).usual_first()

    def usual_first(self) -> "InstrumentQuerySet":
        """In order of how usual the quote asset is."""
        return self.order_by(
            models.Case(
                models.When(quote_asset="USDT", then=0),
                models.When(quote_asset="USDC", then=1),
                default=2,
            ),
            "venue_symbol",
        )


class FeedQuerySet(models.QuerySet):
    """Market data feeds."""

    def enabled(self) -> "FeedQuerySet":
        """Feeds that should be running."""
        return self.filter(is_enabled=True, exchange__is_enabled=True)

    def locked(self) -> "FeedQuerySet":
        """The feeds, each locked in order of its key."""
        return self.order_by("pk").select_for_update(of=("self",))

    def claimed_well(self) -> "FeedQuerySet":
        """Feeds on record as not failing, with their venue and latest quote."""
        return self.exclude(status=FeedStatus.FAILING).select_related("exchange", "quote")


class QuoteQuerySet(models.QuerySet):
    """Latest quotes."""

    def of_enabled_feeds(self, symbols: Collection[str] | None = None) -> "QuoteQuerySet":
        """Quotes of these symbols, or of all, from feeds that are switched on."""
        quotes = self.filter(feed__is_enabled=True, feed__exchange__is_enabled=True)
        return quotes if symbols is None else quotes.filter(feed__symbol__in=symbols)


class FundingRateQuerySet(models.QuerySet):
    """Funding, past and to come."""

    def due(self, now: datetime) -> "FundingRateQuerySet":
        """Estimates whose settlement has been, so that the rate paid can be asked for."""
        return self.filter(is_settled=False, funding_time__lte=now)

    def to_come(self, now: datetime) -> "FundingRateQuerySet":
        """The present estimates of settlements to come."""
        return self.filter(funding_time__gt=now)
