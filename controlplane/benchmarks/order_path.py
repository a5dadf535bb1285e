"""From the call to the request complete at the server: our adapters against plain ccxt.

One process sends, another takes; the two sides of a pair take turns in blocks, so that whatever
else the machine does meets both alike. Figures are ratios of medians, ours to ccxt's.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Any, Final

from django.conf import settings

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report
from controlplane.benchmarks.rest_stub import expect_no_limits
from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import BaseAmount, Price
from markets.venues.registry import VenueRegistry
from markets.venues.types import Credentials, Endpoint, OrderType, Side, SubmitOrder

BLOCK: Final = 20
WARM_UP: Final = 20
LIMITS: Final = {"binance": 1.0, "pacifica": 0.7, "aster": 0.1}
"""How much of ccxt's time, at most, a call of ours may take to be complete at the server."""
GOALS: Final = tuple(Goal(f"{name}_p50", limit) for name, limit in LIMITS.items())
# Keys of nobody: the server does not look at them.
_EVM: Final = "0x" + "1f" * 32
_WALLET: Final = "0x" + "ab" * 20
_SEED: Final = bytes(range(1, 33))

Send = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Sender:
    """One side of a pair and what was measured of it, in nanoseconds."""

    send: Send
    close: Callable[[], Awaitable[None]]
    waits: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure `count` orders of each side; raises BenchmarkFailed when nothing arrives."""
    with stub(latency_ms=0) as port:
        facts = asyncio.run(_measured(port, count, say))
    figures: dict[str, Figure] = {}
    peers = []
    for name, (ours, theirs) in facts.items():
        figures[f"{name}_p50"] = Figure(round(median(ours.waits) / median(theirs.waits), 3), "×")
        figures[f"{name}_cpu"] = Figure(round(median(ours.cpu) / median(theirs.cpu), 3), "×")
        figures[f"{name}_us"] = Figure(round(median(ours.waits) / 1000, 1), "µs")
        peers.append(
            {
                "name": f"ccxt {name}",
                "p50_us": round(median(theirs.waits) / 1000, 1),
                "cpu_us": round(median(theirs.cpu) / 1000, 1),
            }
        )
    return Report("order-path", figures, GOALS, peers)


@contextmanager
def stub(*, latency_ms: int) -> Iterator[int]:
    """Run the server in a process of its own; yields its port."""
    command = [sys.executable, "-m", "controlplane.benchmarks.rest_stub", str(latency_ms)]
    process = subprocess.Popen(  # noqa: S603 - our own module
        command,
        cwd=settings.BASE_DIR,
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchmarkFailed("The server did not start.")
        yield int(line)
    finally:
        process.communicate()


async def _measured(
    port: int, count: int, say: Callable[[str], None]
) -> dict[str, tuple[Sender, Sender]]:
    facts = {}
    for name in LIMITS:
        pair = _ours(name, port), await _ccxt(name, port)
        try:
            for side in pair:
                await _block(side, port, WARM_UP)
                side.waits.clear()
                side.cpu.clear()
            for done in range(0, count, BLOCK):
                for side in pair:
                    await _block(side, port, min(BLOCK, count - done))
        finally:
            for side in pair:
                await side.close()
        facts[name] = pair
        say(f"{name}: {count} orders each")
    return facts


async def _block(side: Sender, port: int, size: int) -> None:
    began = []
    for _ in range(size):
        used = time.process_time_ns()
        began.append(time.time_ns())
        await side.send()
        side.cpu.append(time.process_time_ns() - used)
    arrived = await asyncio.to_thread(_arrivals, port)
    if len(arrived) != size:
        raise BenchmarkFailed(f"{len(arrived)} of {size} orders arrived.")
    side.waits += [there - here for here, there in zip(began, arrived, strict=True)]


def _arrivals(port: int) -> list[int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/arrivals") as answer:
        told: list[int] = json.load(answer)
        return told


def _ours(name: str, port: int) -> Sender:
    endpoint = Endpoint(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
    expect_no_limits(port)
    registry = VenueRegistry(allow_loopback=True)
    client = registry.execution_client(name, endpoint, _credentials(name))
    symbol = "BTC" if name == "pacifica" else "BTCUSDT"

    def send() -> Awaitable[object]:
        return client.submit(
            SubmitOrder(
                symbol,
                Side.SELL,
                OrderType.LIMIT,
                BaseAmount(Decimal("0.01")),
                client_order_id(uuid7()),
                price=Price(Decimal(60000)),
            )
        )

    return Sender(send, client.close)


def _credentials(name: str) -> Credentials:
    if name == "binance":
        return Credentials(api_key=Secret("k" * 64), api_secret=Secret("s" * 64))
    if name == "aster":
        return Credentials(public_key=Secret(_WALLET), agent_key=Secret(_EVM))
    account, agent = _pacifica_keys()
    return Credentials(public_key=Secret(account), agent_key=Secret(agent))


def _pacifica_keys() -> tuple[str, str]:
    """Return a wallet's address and its key, as base58 texts."""
    from nacl.signing import SigningKey

    from markets.venues import base58

    key = SigningKey(_SEED)
    address = bytes(key.verify_key)
    return base58.encode(address), base58.encode(_SEED + address)


async def _ccxt(name: str, port: int) -> Sender:
    """Return plain ccxt, set up as its manual says, with its throttle and builder fee off."""
    import ccxt.async_support as library

    base = f"http://127.0.0.1:{port}"
    exchange: Any
    if name == "binance":
        exchange = library.binanceusdm({"apiKey": "k" * 64, "secret": "s" * 64})
        exchange.has["fetchCurrencies"] = False
        move_binance(exchange, base)
    elif name == "aster":
        exchange = library.aster({"privateKey": _EVM})
        exchange.urls["api"].update(dict.fromkeys(exchange.urls["api"], f"{base}/fapi"))
    else:
        account, agent = _pacifica_keys()
        exchange = library.pacifica({"privateKey": agent, "walletAddress": account})
        exchange.urls["api"].update(public=base, private=base)
    exchange.enableRateLimit = False
    exchange.options.update(builderFee=False, defaultType="swap", initializedClient=True)
    await exchange.load_markets()
    symbol = "BTC/USDC:USDC" if name == "pacifica" else "BTC/USDT:USDT"

    async def send() -> None:
        params = {"clientOrderId": str(uuid7())}
        await exchange.create_order(symbol, "limit", "sell", 0.01, 60000, params)

    return Sender(send, exchange.close)


def move_binance(exchange: Any, base: str) -> None:
    """Point a ccxt binanceusdm to a server of ours."""
    for name, url in exchange.urls["api"].items():
        if isinstance(url, str) and url.startswith("https://fapi.binance.com"):
            exchange.urls["api"][name] = url.replace("https://fapi.binance.com", base)
