"""Binance USDⓈ-M's sockets: quotes under /public, marks under /market, since 2026-04-23.

On the old address a stream of /market is acknowledged and then stays silent (vendor: "Important
WebSocket Change Notice").
"""

from collections.abc import Collection

from markets.venues.binance.facts import SETTLEMENT_ASSET
from markets.venues.fapi.streams import FapiMarketSession
from markets.venues.fapi.user_streams import FapiPrivateSession
from markets.venues.types import Endpoint


class BinanceMarketSession(FapiMarketSession):
    def __init__(
        self, endpoint: Endpoint, venue_symbols: Collection[str], *, marks: bool = False
    ) -> None:
        channel = "market" if marks else "public"
        super().__init__(f"{endpoint.websocket}/{channel}", venue_symbols, marks=marks)


class BinancePrivateSession(FapiPrivateSession):
    def __init__(self) -> None:
        super().__init__(asset=SETTLEMENT_ASSET)
