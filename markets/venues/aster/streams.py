"""Aster's sockets: Binance's frames on unrouted paths."""

from collections.abc import Collection

from markets.venues.aster.facts import SETTLEMENT_ASSET
from markets.venues.fapi.streams import FapiMarketSession
from markets.venues.fapi.user_streams import FapiPrivateSession
from markets.venues.types import Endpoint


class AsterMarketSession(FapiMarketSession):
    def __init__(
        self, endpoint: Endpoint, venue_symbols: Collection[str], *, marks: bool = False
    ) -> None:
        super().__init__(endpoint.websocket, venue_symbols, marks=marks)


class AsterPrivateSession(FapiPrivateSession):
    def __init__(self) -> None:
        super().__init__(asset=SETTLEMENT_ASSET)
