"""The stage of emergency-stop: three paper venues in processes of their own, and a database.

Run as `python -m controlplane.benchmarks.stop_stage RESULT ACCOUNTS` in an environment that points
to an empty directory; leaves what it measured in the file RESULT.
"""

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import django

VENUES: Final = 3
LATENCY_MS: Final = 50
SLOW_MS: Final = 500
SIZES: Final = ("0.5", "-0.25", "-0.25")
"""Of each book's accounts, one at each venue: a book is neutral."""
ORDERS: Final = 2
SYMBOL: Final = "BTCUSDT"


@dataclass(frozen=True, slots=True)
class Account:
    """One account of one venue; `place` is the venue's number."""

    name: str
    place: int

    @property
    def key(self) -> str:
        return f"key-{self.name}"

    @property
    def secret(self) -> str:
        return f"secret-{self.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """One venue, where it listens."""

    rest: str
    websocket: str
    port: int


def main() -> None:
    """Start the venues, measure both contenders, write the result."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from controlplane.benchmarks.rest_stub import expect_no_limits
    from controlplane.management.commands.demo import prepare_database

    result, count = Path(sys.argv[1]), int(sys.argv[2])
    prepare_database(result.parent, allow_url=False)
    ours = [Account(f"a{number}", number % VENUES) for number in range(count)]
    bare = [Account(f"b{number}", number % VENUES) for number in range(count)]
    with venues([*ours, *bare]) as places:
        for place in places:
            expect_no_limits(place.port)
        load(ours, places)
        facts = measure(ours, bare, places)
    result.write_text(json.dumps(facts))


@contextmanager
def venues(accounts: Sequence[Account]) -> Iterator[list[Place]]:
    """Run the paper venues; yields where they are."""
    processes = []
    try:
        for place in range(VENUES):
            config = {
                "name": f"paper-{place}",
                "control": True,
                "latencyMs": LATENCY_MS,
                "symbols": ["BTC"],
                "accounts": [
                    {
                        "label": it.name,
                        "apiKey": it.key,
                        "apiSecret": it.secret,
                        "balance": "1000000",
                        "positions": {"BTC": SIZES[place]},
                    }
                    for it in accounts
                    if it.place == place
                ],
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, "manage.py", "run_paper_venue", "--json"],
                    env={**os.environ, "PAPER_VENUE_CONFIG": json.dumps(config)},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        yield [_listening(process) for process in processes]
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)


def _listening(process: "subprocess.Popen[str]") -> Place:
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    return Place(told["rest"], told["websocket"], int(told["rest"].rpartition(":")[2]))


def load(accounts: Sequence[Account], places: Sequence[Place]) -> None:
    """Write venues, contracts, accounts and a module for each book."""
    from accounts.models import ExchangeAccount
    from markets.models import Instrument, Venue
    from strategies.models import AccountAllocation, StrategyModule

    rows = []
    for number, place in enumerate(places):
        row = Venue.objects.create(
            venue_id=f"paper-{number}",
            name=f"Paper {number}",
            dialect="binance",
            environment="paper",
            rest_endpoint=place.rest,
            ws_endpoint=place.websocket,
        )
        Instrument.objects.create(
            venue=row,
            venue_symbol=SYMBOL,
            symbol="BTC",
            quote_asset="USDT",
            contract_size=1,
            tick="0.1",
            lot="0.001",
            min_qty="0.001",
            min_notional=5,
            maker_fee="0.0002",
            taker_fee="0.0005",
        )
        rows.append(row)
    for number, account in enumerate(accounts):
        module, _made = StrategyModule.objects.get_or_create(
            module_id=f"book-{number // VENUES}",
            defaults={"name": "Book", "type": "hedge-only", "status": "enable"},
        )
        made = ExchangeAccount.objects.create(
            account_id=account.name,
            exchange=rows[account.place],
            account_name=account.name,
            api_key=account.key,
            api_secret=account.secret,
            max_position_value=10**6,
        )
        AccountAllocation.objects.create(
            module=module, account=made, weight="0.5", sandbox_mode=False
        )


def measure(
    ours: Sequence[Account], bare: Sequence[Account], places: Sequence[Place]
) -> dict[str, tuple[float, str]]:
    """Stop the bare accounts, then ours, then ours again with slow answers and a venue down."""
    from controlplane.demo import control
    from hedging.models import StoppedAccount

    asyncio.run(rest_orders([*ours, *bare], places))
    bare_seconds = asyncio.run(stop_bare(bare, places))
    _warm()
    wall, blocked_ms = stop_ours(30)
    rows = list(StoppedAccount.objects.select_related("stop"))
    cancelled = sorted(
        (row.cancelled_at - row.stop.created_at).total_seconds() for row in rows if row.cancelled_at
    )
    open_ = sum(row.confirmed_at is None for row in rows)

    _release()
    asyncio.run(rest_orders(ours, places))
    for account in ours:
        body = {"account": account.name, "symbol": SYMBOL, "amount": SIZES[account.place]}
        control.ask(places[account.place], "/control/position", body)
    for place in places:
        more = {"kind": "latency", "delayMs": SLOW_MS - LATENCY_MS}
        control.ask(place, "/control/fault", more)
    down = {"kind": "answer", "status": 503, "at": "pre_accept", "seconds": 600, "probability": 1}
    control.ask(places[-1], "/control/fault", down)
    began = time.monotonic()
    stop_ours(40)
    slow = time.monotonic() - began
    later = StoppedAccount.objects.filter(stop__released_at=None).select_related("stop")
    done = {row.account_id: row for row in later}
    reachable = [done[it.name] for it in ours if it.place != VENUES - 1]
    took = [
        (row.confirmed_at - row.stop.created_at).total_seconds() if row.confirmed_at else slow + 60
        for row in reachable
    ]
    return {
        "bare": (round(bare_seconds, 3), "s"),
        "flatten": (round(wall / bare_seconds, 3), "× bare"),
        "wall": (round(wall, 3), "s"),
        "blocked_ms": (round(blocked_ms, 1), "ms"),
        "cancelled_p99": (round(cancelled[int(0.99 * (len(cancelled) - 1))], 3), "s"),
        "not_confirmed": (open_, "accounts"),
        "slow_done": (round(max(took), 3), "s"),
        "accounts": (len(ours), "accounts"),
        "orders": (ORDERS * len(ours), "orders"),
    }


def stop_ours(seconds: float) -> tuple[float, float]:
    """Pull a stop of everything and drive it; return the seconds, and the ms until it held."""
    from controlplane.base.audit import Actor, Surface
    from hedging.emergency.driving import stop_drive
    from hedging.emergency.verbs import stop_engage

    actor = Actor(name="benchmark", surface=Surface.COMMAND)
    began = time.monotonic()
    stop = stop_engage(scope="all", reason="benchmark", actor=actor)
    blocked = time.monotonic()
    until = began + seconds
    while not stop_drive(stop_id=stop.pk, actor=actor, seconds=2):
        if time.monotonic() > until or _only_down_left(stop):
            break
    return time.monotonic() - began, 1000 * (blocked - began)


def _only_down_left(stop: Any) -> bool:
    left = set(stop.accounts.unfinished().values_list("account__exchange_id", flat=True))
    return left == {f"paper-{VENUES - 1}"}


def _release() -> None:
    """Give everything back as a person would after a reconciliation."""
    from django.utils import timezone

    from accounts.models import AccountState
    from controlplane.base.audit import Actor, Surface
    from hedging.emergency.verbs import stop_release
    from hedging.models import EmergencyStop

    AccountState.objects.update(reconciled_at=timezone.now())
    actor = Actor(name="benchmark", surface=Surface.COMMAND)
    stop_release(stop=EmergencyStop.objects.get(), actor=actor, reason="benchmark")


def _warm() -> None:
    """Let clients and sockets be there, as they are in a running sentinel."""
    from accounts.models import ExchangeAccount
    from hedging.emergency.asking import ask_all

    accounts = {it.pk: it for it in ExchangeAccount.objects.for_sync()}

    async def positions(_name: str, client: Any) -> Any:
        return await client.positions()

    ask_all(accounts, positions)


class Bare:
    """A bare aiohttp client that signs by hand and reads JSON: the floor."""

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
        """Cancel, look, close at market, look."""
        await self.ask(account, "DELETE", "v1/allOpenOrders", symbol=SYMBOL)
        for row in await self.ask(account, "GET", "v3/positionRisk"):
            size = Decimal(row["positionAmt"])
            if size:
                side = "SELL" if size > 0 else "BUY"
                order = {"symbol": row["symbol"], "side": side, "type": "MARKET"}
                size_text = {"quantity": str(abs(size)), "reduceOnly": "true"}
                await self.ask(account, "POST", "v1/order", **order, **size_text)
        await self.ask(account, "GET", "v1/openOrders")
        left = await self.ask(account, "GET", "v3/positionRisk")
        if any(Decimal(row["positionAmt"]) for row in left):
            raise RuntimeError(f"{account.name} is not flat")


async def stop_bare(accounts: Sequence[Account], places: Sequence[Place]) -> float:
    """Stop the accounts with the bare client; return the seconds."""
    client = Bare(places)
    async with client.session:
        await asyncio.gather(*(client.ask(it, "GET", "v3/positionRisk") for it in accounts))
        began = time.monotonic()
        await asyncio.gather(*(client.stop(it) for it in accounts))
        return time.monotonic() - began


async def rest_orders(accounts: Sequence[Account], places: Sequence[Place]) -> None:
    """Place orders that rest, far from the market."""
    client = Bare(places)
    async with client.session:
        await asyncio.gather(
            *(
                client.ask(
                    account,
                    "POST",
                    "v1/order",
                    symbol=SYMBOL,
                    side="BUY",
                    type="LIMIT",
                    timeInForce="GTC",
                    quantity="0.001",
                    price="50000",
                )
                for account in accounts
                for _ in range(ORDERS)
            )
        )


if __name__ == "__main__":
    main()
