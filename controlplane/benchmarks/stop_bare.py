"""The bare client that emergency stops are held against: signs by hand, writes nothing down."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp

from controlplane.benchmarks.stop_venues import SYMBOL, Account, Place


class Bare:
    """A bare aiohttp client that reads JSON and believes it: the floor."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def ask(self, account: Account, method: str, path: str, **params: str) -> Any:
        query = urlencode({**params, "timestamp": time.time_ns() // 1_000_000})
        mark = hmac.new(account.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self._places[account.place].rest}/fapi/{path}?{query}&signature={mark}"
        async with self.session.request(
            method, url, headers={"X-MBX-APIKEY": account.key}
        ) as answer:
            told = json.loads(await answer.read())
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {told}")
            return told

    async def stop(self, account: Account) -> None:
        """Cancel, look whether it is so, look what is held, close at market, look at both."""
        await self.ask(account, "DELETE", "v1/allOpenOrders", symbol=SYMBOL)
        if await self.ask(account, "GET", "v1/openOrders"):
            raise RuntimeError(f"{account.name} has orders")
        for row in await self.ask(account, "GET", "v3/positionRisk"):
            size = Decimal(row["positionAmt"])
            if size:
                side = "SELL" if size > 0 else "BUY"
                order = {"symbol": row["symbol"], "side": side, "type": "MARKET"}
                size_text = {"quantity": str(abs(size)), "reduceOnly": "true"}
                await self.ask(account, "POST", "v1/order", **order, **size_text)
        left = await self.ask(account, "GET", "v1/openOrders")
        held = await self.ask(account, "GET", "v3/positionRisk")
        if left or any(Decimal(row["positionAmt"]) for row in held):
            raise RuntimeError(f"{account.name} is not flat")


async def stop_bare(accounts: Sequence[Account], places: Sequence[Place]) -> float:
    """Stop the accounts with the bare client, connected before; return the seconds."""
    client = Bare(places)
    async with client.session:
        await asyncio.gather(*(client.ask(it, "GET", "v1/time") for it in accounts))
        began = time.monotonic()
        await asyncio.gather(*(client.stop(it) for it in accounts))
        return time.monotonic() - began


async def rest_orders(
    accounts: Sequence[Account], places: Sequence[Place], *, count: int, amount: str, price: str
) -> None:
    """Place `count` orders of each account that rest, far from the market."""
    client = Bare(places)
    terms = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    async with client.session:
        await asyncio.gather(
            *(
                client.ask(account, "POST", "v1/order", **terms, quantity=amount, price=price)
                for account in accounts
                for _ in range(count)
            )
        )
