"""The protocols a paper venue speaks, all over one engine."""

from collections.abc import Callable, Mapping
from typing import Final

from markets.venues.paper.dialects.aster import AsterDialect
from markets.venues.paper.dialects.binance import BinanceDialect
from markets.venues.paper.dialects.fapi import FapiDialect
from markets.venues.paper.venue import Venue

_DIALECTS: Final[Mapping[str, Callable[[Venue], FapiDialect]]] = {
    "binance": BinanceDialect,
    "aster": AsterDialect,
}


def dialect_of(venue: Venue) -> FapiDialect:
    """Return the dialect a venue is configured for."""
    return _DIALECTS[venue.config.dialect](venue)
