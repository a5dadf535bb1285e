"""The protocols a paper venue speaks, all over one engine."""

from collections.abc import Callable, Mapping
from typing import Final

from markets.venues.paper.dialects.aster import AsterDialect
from markets.venues.paper.dialects.binance import BinanceDialect
from markets.venues.paper.dialects.pacifica import PacificaDialect
from markets.venues.paper.venue import Dialect, Venue

_DIALECTS: Final[Mapping[str, Callable[[Venue], Dialect]]] = {
    "binance": BinanceDialect,
    "aster": AsterDialect,
    "pacifica": PacificaDialect,
}


def dialect_of(venue: Venue) -> Dialect:
    """Return the dialect a venue is configured for."""
    return _DIALECTS[venue.config.dialect](venue)
