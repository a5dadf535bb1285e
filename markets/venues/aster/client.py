"""Aster futures v3 over HTTP, signed by an agent's key. No order carries a builder or its fee."""

from markets.venues.aster.api import AsterApi, identity
from markets.venues.aster.facts import FEES, SETTLEMENT_ASSET
from markets.venues.fapi.client import FapiExecutionClient, FapiMarketClient
from markets.venues.shared import MAX_ANSWER, MAX_LISTING
from markets.venues.types import Credentials, Endpoint


class AsterMarketClient(FapiMarketClient):
    """Public data of one endpoint."""

    def __init__(self, endpoint: Endpoint, *, proxy_url: str | None = None) -> None:
        super().__init__(AsterApi(endpoint, proxy_url, MAX_LISTING), fees=FEES)


class AsterExecutionClient(FapiExecutionClient):
    """One account. Needs `public_key` (the login wallet's address) and `agent_key`."""

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, *, proxy_url: str | None = None
    ) -> None:
        super().__init__(
            AsterApi(endpoint, proxy_url, MAX_ANSWER, identity(endpoint, credentials)),
            asset=SETTLEMENT_ASSET,
            stream_base=f"{endpoint.websocket}/ws/",
        )
