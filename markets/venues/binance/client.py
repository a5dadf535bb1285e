"""Binance USDⓈ-M over HTTP, signed by ccxt."""

from markets.venues.binance.api import make_api
from markets.venues.binance.facts import FEES, SETTLEMENT_ASSET
from markets.venues.errors import MissingCredential
from markets.venues.fapi.client import FapiExecutionClient, FapiMarketClient
from markets.venues.shared import MAX_ANSWER, MAX_LISTING
from markets.venues.types import Credentials, Endpoint


class BinanceMarketClient(FapiMarketClient):
    """Public data of one endpoint."""

    def __init__(self, endpoint: Endpoint, *, proxy_url: str | None = None) -> None:
        super().__init__(make_api(endpoint, proxy_url, MAX_LISTING, Credentials()), fees=FEES)


class BinanceExecutionClient(FapiExecutionClient):
    """One account. Needs `api_key` and `api_secret`."""

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, *, proxy_url: str | None = None
    ) -> None:
        if not credentials.api_key or not credentials.api_secret:
            raise MissingCredential("Binance needs an API key and its secret.")
        self._api = make_api(endpoint, proxy_url, MAX_ANSWER, credentials)
        super().__init__(
            self._api,
            asset=SETTLEMENT_ASSET,
            stream_base=f"{endpoint.websocket}/private/ws?listenKey=",
        )
