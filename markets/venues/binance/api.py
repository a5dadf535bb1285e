"""One call to Binance USDⓈ-M: ccxt names and signs it, we send it once and judge the answer."""

import copy
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

from markets.venues.binance import parsing, wire
from markets.venues.binance.errors import CLOCK_CODES, failure
from markets.venues.binance.wire import RECEIVE_WINDOW, BadAnswer
from markets.venues.ccxt_classes import exchange_class
from markets.venues.errors import (
    AuthenticationFailed,
    NotSent,
    OrderNotFound,
    RateLimited,
    VenueError,
    VenueRejected,
    VenueUnavailable,
)
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

Result = TypeVar("Result")
Method = Callable[[Mapping[str, str]], Awaitable[HttpAnswer]]


class BinanceApi(exchange_class("binanceusdm")):  # type: ignore[misc]
    """ccxt's names and signatures over our transport and the venue's own clock."""

    transport: Transport
    clock: ServerClock
    max_bytes: int

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
    api.clock = server_clock(endpoint.rest)
    api.max_bytes = max_bytes
    return api


class Caller:
    """Makes calls and turns what comes back into a body worth reading, or an error that says
    what is proven.
    """

    def __init__(self, api: BinanceApi) -> None:
        self._api = api
        self._clock = api.clock

    async def act(self, method: Method, params: Mapping[str, str], *, signed: bool = True) -> bytes:
        """Call once; raises what the answer proves, NotSent or OutcomeUnknown."""
        if signed and not self._clock.is_known:
            await self._set_clock()
        return await self._send(method, params)

    async def read(
        self,
        method: Method,
        params: Mapping[str, str],
        parse: Callable[[bytes], Result],
        *,
        signed: bool = True,
    ) -> Result:
        """Query and parse; every failure but throttling and a bad key is VenueUnavailable."""
        try:
            if signed and self._clock.is_stale:
                await self._set_clock()
            return parse(await self._send(method, params))
        except (RateLimited, AuthenticationFailed, OrderNotFound, VenueUnavailable):
            raise
        except (VenueError, BadAnswer) as error:
            raise VenueUnavailable(str(error)) from None

    async def venue_now(self) -> datetime:
        """Return the venue's time; raises VenueUnavailable or RateLimited when it is unknown."""
        if not self._clock.is_known:
            try:
                await self._set_clock()
            except NotSent as error:
                raise VenueUnavailable(str(error)) from None
        return wire.EPOCH + timedelta(milliseconds=self._clock.now_ms())

    async def close(self) -> None:
        await self._api.transport.close()

    async def _send(self, method: Method, params: Mapping[str, str]) -> bytes:
        answer = await method(params)
        now_ms = self._clock.now_ms() if self._clock.is_known else time.time_ns() // 1_000_000
        error = failure(answer, now_ms=now_ms)
        if error is None:
            return answer.body
        if isinstance(error, VenueRejected) and int(error.venue_code) in CLOCK_CODES:
            self._clock.doubt()
        raise error

    async def _set_clock(self) -> None:
        async with self._clock.measuring():
            if self._clock.is_stale:
                await self._measure()

    async def _measure(self) -> None:
        """Learn the venue's clock; raises NotSent, because what needs it has not been sent."""
        sent_ns = time.monotonic_ns()
        try:
            body = await self._send(self._api.fapiPublicGetTime, {})
            server_ms = parsing.server_ms(body)
        except (RateLimited, NotSent):
            raise
        except (VenueError, BadAnswer) as error:
            raise NotSent(f"The venue's clock is not to be had: {error}") from None
        self._clock.learn(server_ms, sent_ns=sent_ns, received_ns=time.monotonic_ns())
