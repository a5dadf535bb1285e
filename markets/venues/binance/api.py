"""One call to Binance USDⓈ-M: ccxt names and signs it, we send it once and judge the answer."""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from markets.venues.binance.facts import RECEIVE_WINDOW
from markets.venues.ccxt_classes import exchange_class
from markets.venues.fapi.api import FapiApi
from markets.venues.fapi.limits import BINANCE
from markets.venues.fapi.operations import PUBLIC, Operation
from markets.venues.ratelimit.gates import open_gate
from markets.venues.shared import (
    HttpAnswer,
    ServerClock,
    Transport,
    assert_sends_once,
    assert_sent_as_given,
    server_clock,
)
from markets.venues.types import Credentials, Endpoint

_HOST: Final = "https://fapi.binance.com"
_METHODS: Final[Mapping[Operation, str]] = {
    Operation.TIME: "fapiPublicGetTime",
    Operation.INSTRUMENTS: "fapiPublicGetExchangeInfo",
    Operation.BOOK_TOP: "fapiPublicGetTickerBookTicker",
    Operation.FUNDING_INFO: "fapiPublicGetFundingInfo",
    Operation.PREMIUM: "fapiPublicGetPremiumIndex",
    Operation.FUNDING_RATES: "fapiPublicGetFundingRate",
    Operation.ACCOUNT: "fapiPrivateV3GetAccount",
    Operation.POSITIONS: "fapiPrivateV3GetPositionRisk",
    Operation.OPEN_ORDERS: "fapiPrivateGetOpenOrders",
    Operation.ORDER: "fapiPrivateGetOrder",
    Operation.PLACE: "fapiPrivatePostOrder",
    Operation.CANCEL: "fapiPrivateDeleteOrder",
    Operation.CANCEL_ALL: "fapiPrivateDeleteAllOpenOrders",
    Operation.TRADES: "fapiPrivateGetUserTrades",
    Operation.INCOME: "fapiPrivateGetIncome",
    Operation.LEVERAGE: "fapiPrivatePostLeverage",
    Operation.MARGIN_TERMS: "fapiPrivateGetSymbolConfig",
    Operation.SET_MARGIN_MODE: "fapiPrivatePostMarginType",
    Operation.POSITION_MODE: "fapiPrivateGetPositionSideDual",
    Operation.SET_POSITION_MODE: "fapiPrivatePostPositionSideDual",
    Operation.DEAD_MAN_TIMER: "fapiPrivatePostCountdownCancelAll",
    Operation.OPEN_STREAM: "fapiPrivatePostListenKey",
    Operation.KEEP_STREAM: "fapiPrivatePutListenKey",
}
_UNTIMED: Final = PUBLIC | {Operation.OPEN_STREAM, Operation.KEEP_STREAM}


class BinanceApi(FapiApi, exchange_class("binanceusdm")):  # type: ignore[misc]
    """ccxt's names and signatures over our transport and the venue's own clock."""

    clock: ServerClock
    max_bytes: int

    async def call(self, operation: Operation, params: Mapping[str, Any]) -> HttpAnswer:
        answer: HttpAnswer = await getattr(self, _METHODS[operation])(params)
        return answer

    def needs_clock(self, operation: Operation) -> bool:
        return operation not in _UNTIMED

    def nonce(self) -> int:
        return self.clock.now_ms()

    def sign(
        self,
        path: Any,
        api: Any = "public",
        method: Any = "GET",
        params: Any = None,
        *args: Any,
    ) -> Any:
        signed = super().sign(path, api, method, params or {}, *args)
        assert_sent_as_given(signed, params or {})
        return signed

    async def fetch(
        self, url: Any, method: Any = "GET", headers: Any = None, body: Any = None
    ) -> HttpAnswer:
        return await self.transport.send(
            method, url, headers=headers or {}, body=body, max_bytes=self.max_bytes
        )


@cache
def _template() -> BinanceApi:
    """Return the instance all others are copied from: building one takes ccxt some 10 ms."""
    api = BinanceApi({"enableRateLimit": False, "number": str})
    api.options.update(
        fetchCurrencies=False,
        recvWindow=int(RECEIVE_WINDOW.total_seconds() * 1000),
    )
    api.has["fetchCurrencies"] = False
    assert_sends_once(api)
    return api


def make_api(
    endpoint: Endpoint, proxy_url: str | None, max_bytes: int, credentials: Credentials
) -> BinanceApi:
    api = copy.copy(_template())
    api.options = dict(api.options)
    api.urls = {
        **api.urls,
        "api": {
            name: url.replace(_HOST, endpoint.rest, 1)
            for name, url in api.urls["api"].items()
            if isinstance(url, str) and url.startswith(_HOST)
        },
    }
    api.apiKey = credentials.api_key.reveal()
    api.secret = credentials.api_secret.reveal()
    api.transport = Transport(proxy_url)
    api.gate = open_gate(endpoint.rest, proxy_url, BINANCE, public=api.apiKey)
    api.clock = server_clock(endpoint.rest)
    api.max_bytes = max_bytes
    return api
