"""One contender of account-sync, in a process of its own: its memory and CPU are only its own.

Run as `python -m controlplane.benchmarks.sync_worker KIND PORT ACCOUNTS ROUNDS`; prints one JSON
object. Every contender asks the same three things of each account: balance, positions, open orders.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any
from urllib.parse import urlencode

import psutil

from controlplane.benchmarks.rest_stub import expect_no_limits
from controlplane.kernel.secrets import Secret
from markets.venues.registry import VenueRegistry
from markets.venues.types import Credentials, Endpoint

Sync = Callable[[], Awaitable[object]]
Close = Callable[[], Awaitable[object]]


def ours(port: int, accounts: int) -> tuple[list[Sync], Close]:
    """Build our clients, as accounts/egress.py does."""
    expect_no_limits(port)
    registry = VenueRegistry(allow_loopback=True)
    endpoint = Endpoint(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
    clients = [
        registry.execution_client(
            "binance",
            endpoint,
            Credentials(api_key=Secret(f"k{number}"), api_secret=Secret("s" * 64)),
        )
        for number in range(accounts)
    ]

    def sync(client: Any) -> Sync:
        return lambda: asyncio.gather(client.balance(), client.positions(), client.open_orders())

    return [sync(client) for client in clients], lambda: asyncio.gather(
        *(client.close() for client in clients)
    )


def ccxt(port: int, accounts: int) -> tuple[list[Sync], Close]:
    """Build one instance per account, each with its own markets and session: the usual way."""
    import ccxt.async_support as library

    from controlplane.benchmarks.order_path import move_binance

    exchanges = []
    for number in range(accounts):
        exchange = library.binanceusdm(
            {"apiKey": f"k{number}", "secret": "s" * 64, "enableRateLimit": False}
        )
        exchange.has["fetchCurrencies"] = False
        exchange.options["warnOnFetchOpenOrdersWithoutSymbol"] = False
        move_binance(exchange, f"http://127.0.0.1:{port}")
        exchanges.append(exchange)

    def sync(exchange: Any) -> Sync:
        async def ask() -> None:
            await exchange.load_markets()
            await asyncio.gather(
                exchange.fetch_balance(), exchange.fetch_positions(), exchange.fetch_open_orders()
            )

        return ask

    return [sync(exchange) for exchange in exchanges], lambda: asyncio.gather(
        *(exchange.close() for exchange in exchanges)
    )


def bare(port: int, accounts: int) -> tuple[list[Sync], Close]:
    """Build a bare aiohttp client that signs by hand and reads JSON: the floor."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    base = f"http://127.0.0.1:{port}/fapi"

    async def get(key: str, path: str) -> Any:
        query = urlencode({"recvWindow": 5000, "timestamp": time.time_ns() // 1_000_000})
        mark = hmac.new(b"s" * 64, query.encode(), hashlib.sha256).hexdigest()
        url = f"{base}/{path}?{query}&signature={mark}"
        async with session.get(url, headers={"X-MBX-APIKEY": key}) as answer:
            return json.loads(await answer.read())

    def sync(key: str) -> Sync:
        return lambda: asyncio.gather(
            get(key, "v3/account"), get(key, "v3/positionRisk"), get(key, "v1/openOrders")
        )

    return [sync(f"k{number}") for number in range(accounts)], session.close


BUILDERS = {"ours": ours, "ccxt": ccxt, "bare": bare}


async def measure(kind: str, port: int, accounts: int, rounds: int) -> dict[str, float]:
    """Sync all accounts from nothing, then again and again."""
    if kind == "ccxt":
        import ccxt.async_support  # noqa: F401 - what is imported once is no part of cold
    else:
        import markets.venues.binance.client  # noqa: F401
    began, used = time.perf_counter(), time.process_time()
    syncs, close = BUILDERS[kind](port, accounts)
    await _all(syncs)
    cold, cold_cpu = time.perf_counter() - began, time.process_time() - used
    walls, cpus = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        await _all(syncs)
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - used)
    memory = psutil.Process().memory_info().rss / 2**20
    await close()
    return {
        "cold_s": cold,
        "cold_cpu_s": cold_cpu,
        "warm_s": median(walls),
        "warm_cpu_s": median(cpus),
        "memory_mb": memory,
    }


async def _all(syncs: Sequence[Sync]) -> None:
    await asyncio.gather(*(sync() for sync in syncs))


if __name__ == "__main__":
    contender, *numbers = sys.argv[1:]
    facts = asyncio.run(measure(contender, *(int(number) for number in numbers)))
    sys.stdout.write(json.dumps(facts))
