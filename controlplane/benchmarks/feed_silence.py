"""How long a stream may be silent, its socket open and its pings answered, before that counts.

Feeds hold a paper venue's sockets as `run_feeds` does, in this process and without the database,
which has each change within a tenth of a second. The venue stops telling prices and goes on
answering pings and requests; a trial is one feed in one silence, timed from the last quote.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report, percentile
from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.choices import FeedSource, FeedStatus
from markets.feeds.line import FeedLine
from markets.feeds.standby import Standby
from markets.feeds.trunks import TrunkKind, Trunks
from markets.venues.paper.config import PaperConfig, symbol_config
from markets.venues.paper.server import PaperVenue
from markets.venues.ratelimit.limiter import limiter
from markets.venues.registry import VenueRegistry
from markets.venues.types import Endpoint

FEEDS: Final = 20
FRESH_MS: Final = 2000
LOOK_SECONDS: Final = 0.01
PATIENCE: Final = 30.0
GOALS: Final = (Goal("degraded_max", 2250), Goal("usable_max", 3000), Goal("stale_prices", 0))


@dataclass
class Trial:
    """One feed's silence: seconds from its last quote until each came; looks at older prices."""

    degraded: float | None = None
    usable: float | None = None
    stale: int = 0


@dataclass
class Feed:
    """One feed of the benchmark and its trial under way."""

    line: FeedLine
    trial: Trial = field(default_factory=Trial)

    def look(self, now: float) -> None:
        """See how the feed is, as whoever prices an order does."""
        line, trial = self.line, self.trial
        status, source = line.status(now), line.source(now)
        priced, heard = line.fresh_mid(now), line.received
        if priced is not None and (heard is None or (now - heard) * 1000 > FRESH_MS):
            trial.stale += 1
        silence = now - (line.streamed or now)
        if trial.degraded is None and status is FeedStatus.DEGRADED:
            trial.degraded = silence
        if trial.usable is None and source is FeedSource.HTTP and priced is not None:
            trial.usable = silence


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure about `count` trials, 20 feeds in each silence."""
    limiter().share(None, processes=1)  # bans are told through the database, which is not there
    return report(asyncio.run(_trials(-(-count // FEEDS), say)))


def report(trials: Sequence[Trial]) -> Report:
    """Return the figures of the trials; raises BenchmarkFailed when one never ended."""
    degraded = [trial.degraded * 1000 for trial in trials if trial.degraded is not None]
    usable = [trial.usable * 1000 for trial in trials if trial.usable is not None]
    if len(degraded) < len(trials) or len(usable) < len(trials):
        raise BenchmarkFailed("A feed was never degraded, or had no price over HTTP.")
    figures = {
        "degraded_p50": Figure(round(percentile(degraded, 0.5)), "ms"),
        "degraded_max": Figure(round(max(degraded)), "ms"),
        "usable_p50": Figure(round(percentile(usable, 0.5)), "ms"),
        "usable_max": Figure(round(max(usable)), "ms"),
        "stale_prices": Figure(sum(trial.stale for trial in trials), "looks at an older price"),
        "trials": Figure(len(trials), "trials"),
    }
    return Report("feed-silence", figures, GOALS)


async def _trials(rounds: int, say: Callable[[str], None]) -> list[Trial]:
    symbols = tuple(symbol_config(_base(number)) for number in range(FEEDS))
    config = PaperConfig(symbols=symbols, accounts=())
    done: list[Trial] = []
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(PaperVenue.start(config))
        feeds = [Feed(_line(number)) for number in range(FEEDS)]
        registry = VenueRegistry(allow_loopback=True)
        standby, trunks = Standby(registry, SYSTEM_CLOCK), Trunks(registry, SYSTEM_CLOCK)
        streams = [
            asyncio.create_task(work)
            for feed in feeds
            for work in _streams(feed.line, venue, trunks, standby)
        ]
        stack.push_async_callback(_end, streams)
        for number in range(rounds):
            await _until(feeds, lambda feed: feed.line.status(_now()) is FeedStatus.HEALTHY)
            for feed in feeds:
                feed.trial = Trial()
            venue.core.running.clear()
            await _until(feeds, lambda feed: feed.trial.usable and feed.trial.degraded)
            venue.core.running.set()
            done += [feed.trial for feed in feeds]
            say(f"silence {number + 1} of {rounds}")
    return done


def _line(number: int) -> FeedLine:
    return FeedLine(
        f"feed-{number}",
        _base(number),
        fresh_ms=FRESH_MS,
        failover_ms=10_000,
        since=SYSTEM_CLOCK.now(),
    )


def _base(number: int) -> str:
    return f"C{number}"


def _streams(
    line: FeedLine, venue: PaperVenue, trunks: Trunks, standby: Standby
) -> tuple[Any, Any]:
    """Return a feed's stream and its venue over HTTP, as a feed's consumer runs them."""
    endpoint, symbol = Endpoint(venue.rest_url, venue.ws_url), f"{line.symbol}USDT"
    kind = TrunkKind("binance", endpoint, line.failover_ms / 1000)
    return (
        trunks.serve(kind, symbol, line.take, line.connected),
        standby.serve(line, symbol, "binance", endpoint),
    )


async def _until(feeds: Sequence[Feed], holds: Callable[[Feed], object]) -> None:
    """Look at every feed again and again until all are as wanted."""
    deadline = _now() + PATIENCE
    while not all(holds(feed) for feed in feeds):
        if _now() > deadline:
            raise BenchmarkFailed("The feeds did not come to where they should.")
        await asyncio.sleep(LOOK_SECONDS)
        for feed in feeds:
            feed.look(_now())


def _now() -> float:
    return time.monotonic()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
