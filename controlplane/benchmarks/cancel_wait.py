"""How long a cancel takes while new orders queue at the venue's limit.

A paper venue enforces Binance's limits and refuses whoever goes over them. Fifty senders place
orders as fast as they may, until the limit lets none of them pass; then orders that rest are
cancelled one after the other, each timed from the call to its answer.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report, percentile
from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import BaseAmount, Price
from markets.venues.errors import RateLimited
from markets.venues.paper.config import PaperConfig, account_config, symbol_config
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit.limiter import limiter
from markets.venues.registry import VenueRegistry
from markets.venues.types import CancelOrder, Credentials, OrderType, Side, SubmitOrder

SENDERS: Final = 50
AGAIN_SECONDS: Final = 0.02
PAUSE_SECONDS: Final = 0.005
STILL_SECONDS: Final = 0.3
"""No order passed for so long: all senders wait for the limit."""
PATIENCE: Final = 30.0
MOST_RESTING: Final = 150
"""The venue lets 200 orders of a contract rest."""
GOALS: Final = (Goal("cancel_p99", 500), Goal("refused_by_venue", 0))


@dataclass(slots=True)
class Trial:
    """What one run saw: milliseconds of each cancel, orders that passed and that waited, refusals.

    `waiting` is the fewest orders that were wanted and had not passed when a cancel began.
    """

    waits: list[float] = field(default_factory=list)
    passed: int = 0
    under_way: int = 0
    waiting: int = SENDERS
    refused: int = 0


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Time `count` cancels, at most 150."""
    limiter().share(None, processes=1)  # bans are told through the database, which is not there
    return report(asyncio.run(_trial(count, say)))


def report(trial: Trial) -> Report:
    """Return the figures of a run; raises BenchmarkFailed when nothing queued."""
    if not trial.waits or not trial.waiting:
        raise BenchmarkFailed("No order queued while the cancels went out.")
    figures = {
        "cancel_p50": Figure(round(percentile(trial.waits, 0.5), 1), "ms"),
        "cancel_p99": Figure(round(percentile(trial.waits, 0.99), 1), "ms"),
        "cancels": Figure(len(trial.waits), "cancels"),
        "orders_waiting": Figure(trial.waiting, "orders at least that queued beside each"),
        "orders_passed": Figure(trial.passed, "orders before the limit was reached"),
        "refused_by_venue": Figure(trial.refused, "requests the venue refused as too many"),
    }
    return Report("cancel-wait", figures, GOALS)


async def _trial(count: int, say: Callable[[str], None]) -> Trial:
    config = PaperConfig(
        symbols=(symbol_config("BTC", price=Decimal(60_000)),),
        accounts=(account_config("alpha", "k" * 64, "s" * 64, Decimal(10_000_000)),),
        start_paused=True,
        enforce_limits=True,
    )
    trial, registry = Trial(), VenueRegistry(allow_loopback=True)
    async with PaperVenue.start(config) as venue:
        market = registry.market_client("binance", venue.endpoint)
        await market.instruments()  # and with it the venue's limits
        await market.close()
        keys = Credentials(api_key=Secret("k" * 64), api_secret=Secret("s" * 64))
        client = registry.execution_client("binance", venue.endpoint, keys)
        try:
            resting = [_order(OrderType.LIMIT) for _ in range(min(count, MOST_RESTING))]
            for order in resting:
                await client.submit(order)
            say(f"{len(resting)} orders rest")
            await _measure(client, resting, trial)
        finally:
            await client.close()
        statuses = [entry["status"] for entry in venue.ledger.since(kind="request")]
    trial.refused = sum(status in (418, 429) for status in statuses)
    return trial


async def _measure(client: ExecutionClient, resting: Sequence[SubmitOrder], trial: Trial) -> None:
    senders = [asyncio.create_task(_want(client, trial)) for _ in range(SENDERS)]
    try:
        await _until_none_passes(trial)
        for order in resting:
            trial.waiting = min(trial.waiting, trial.under_way)
            began = time.monotonic()
            await client.cancel(CancelOrder(order.venue_symbol, order.client_order_id))
            trial.waits.append((time.monotonic() - began) * 1000)
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)


async def _until_none_passes(trial: Trial) -> None:
    """Wait until the limit holds every sender back."""
    deadline, passed = time.monotonic() + PATIENCE, -1
    while trial.passed != passed or trial.under_way < SENDERS // 2:
        if time.monotonic() > deadline:
            raise BenchmarkFailed("The limit was never reached.")
        passed = trial.passed
        await asyncio.sleep(STILL_SECONDS)


async def _want(client: ExecutionClient, trial: Trial) -> None:
    """Go on placing orders that fill nothing and do not rest, until cancelled."""
    while True:
        trial.under_way += 1
        try:
            await client.submit(_order(OrderType.IOC))
            trial.passed += 1
        except RateLimited:
            await asyncio.sleep(AGAIN_SECONDS)
        finally:
            trial.under_way -= 1


def _order(kind: OrderType) -> SubmitOrder:
    """Return an order some per cent below the market."""
    return SubmitOrder(
        "BTCUSDT",
        Side.BUY,
        kind,
        BaseAmount(Decimal("0.001")),
        client_order_id(uuid7()),
        price=Price(Decimal(58_000)),
    )
