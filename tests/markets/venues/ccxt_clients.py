"""ccxt as it ships, pointed at a paper venue: nothing but addresses and credentials is changed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro as pro

from markets.venues.paper.server import PaperVenue


def binance(venue: PaperVenue, *, key: str, secret: str) -> Any:
    """A futures-only host: what ccxt asks Binance's spot host for has to be switched off."""
    made = pro.binanceusdm({"apiKey": key, "secret": secret, "options": {"fetchCurrencies": False}})
    made.has["fetchCurrencies"] = False
    api = made.urls["api"]
    for name, url in api.items():
        if isinstance(url, str):
            api[name] = url.replace("https://fapi.binance.com", venue.rest_url)
    api["ws"]["linear"] = f"{venue.ws_url}/ws"
    return made


def aster(venue: PaperVenue, *, key: str) -> Any:
    """`key` is the login wallet's own; ccxt tells perpetuals' sockets by the path /fstream."""
    made = pro.aster({"privateKey": key, "options": {"defaultType": "swap"}})
    rest, ws = venue.rest_url, venue.ws_url
    made.urls["api"].update(
        fapiPublic=f"{rest}/fapi",
        fapiPrivate=f"{rest}/fapi",
        sapiPublic=f"{rest}/spot/api",
        sapiPrivate=f"{rest}/spot/api",
        ws={
            "public": {"spot": f"{ws}/sstream/stream", "swap": f"{ws}/fstream/stream"},
            "private": {"spot": f"{ws}/sstream/ws", "swap": f"{ws}/fstream/ws"},
        },
    )
    return made


class OfWholeSignatures(pro.pacifica):
    """ccxt as it is, but for one signature in 256 that begins with a zero byte.

    ccxt drops that byte and the venue refuses; another moment is signed then.
    """

    def post_action_request(self, *asked: Any) -> Any:
        for _ in range(20):
            made = super().post_action_request(*asked)
            if len(self.base58_to_binary(made["signature"])) == 64:
                return made
            time.sleep(0.001)
        raise AssertionError("twenty signatures began with a zero byte")


def pacifica(venue: PaperVenue, *, account: str, key: str, agent: str) -> Any:
    made = OfWholeSignatures(
        {"privateKey": key, "walletAddress": account, "options": {"agentAddress": agent}}
    )
    made.urls["api"]["public"] = made.urls["api"]["private"] = venue.rest_url
    made.urls["api"]["ws"]["public"] = f"{venue.ws_url}/pws"
    return made


@asynccontextmanager
async def opened(made: Any) -> AsyncIterator[Any]:
    """Load the markets; without ccxt's own throttle, which would only make tests wait."""
    made.enableRateLimit = False
    try:
        await made.load_markets()
        yield made
    finally:
        await made.close()


async def listened(venue: PaperVenue, *streams: str) -> None:
    """Wait until somebody hears each of these streams."""
    for _ in range(1_000):
        if all(venue.core.hub.listened(stream) for stream in streams):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"nobody hears all of {streams}")
