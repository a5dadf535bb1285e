"""The reader of feed-burst, in a process of its own: BTC's quotes to the board, each delay kept.

Run as `python -m controlplane.benchmarks.burst_worker PORT QUOTES`; prints one JSON object. The `u`
of a quote is the monotonic time, in ns, at which it was sent.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds.line import FeedLine
from markets.feeds.trunks import TrunkKind, Trunks
from markets.venues.registry import VenueRegistry
from markets.venues.types import BookTop, Endpoint, MarketEvent

HEALTH_SECONDS = 0.1
"""How often the publisher of `run_feeds` asks how a feed is."""


async def measured(port: int, quotes: int) -> dict[str, Any]:
    """Read until all quotes have come."""
    address = f"127.0.0.1:{port}"
    endpoint = Endpoint(f"http://{address}", f"ws://{address}")
    trunks = Trunks(VenueRegistry(allow_loopback=True), SYSTEM_CLOCK)
    line = FeedLine("btc", "BTC", fresh_ms=2000, failover_ms=10_000, since=SYSTEM_CLOCK.now())
    delays: list[float] = []
    is_full = asyncio.Event()

    def take(events: Sequence[MarketEvent], received: float) -> None:
        line.take(events, received)
        if isinstance(event := events[0], BookTop):
            delays.append((time.monotonic_ns() - event.sequence) / 1e6)
            if len(delays) == quotes:
                is_full.set()

    async def watch() -> None:
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            line.source(SYSTEM_CLOCK.monotonic())

    kind = TrunkKind("binance", endpoint, 10.0)
    serving = asyncio.create_task(trunks.serve(kind, "BTCUSDT", take, line.connected))
    watching = asyncio.create_task(watch())
    spent = time.process_time()
    await is_full.wait()
    spent = time.process_time() - spent
    for task in (serving, watching):
        task.cancel()
    await asyncio.gather(serving, watching, return_exceptions=True)
    return {"delays": delays, "cpuMicros": spent / quotes * 1e6}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(measured(int(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.write(json.dumps(result))
