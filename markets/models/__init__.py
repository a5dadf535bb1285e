"""Venues, their instruments and what we know of their prices."""

from markets.bans import VenueBan
from markets.leases import StreamHolder, StreamLease
from markets.models.prices import FeedTraffic, Quote, SynthPriceSnapshot
from markets.models.venues import (
    FundingRate,
    Instrument,
    MarketDataFeed,
    Venue,
    check_endpoints,
)

__all__ = [
    "FeedTraffic",
    "FundingRate",
    "Instrument",
    "MarketDataFeed",
    "Quote",
    "StreamHolder",
    "StreamLease",
    "SynthPriceSnapshot",
    "Venue",
    "VenueBan",
    "check_endpoints",
]
