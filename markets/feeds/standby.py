"""The venue over HTTP, standing by for streams: asked only while one wants it.

All feeds of a venue in this process are asked for together: many venues answer for every symbol at
once, and an outage is usually the whole venue's.
"""

import asyncio
import logging
from typing import Final

from controlplane.kernel.clock import Clock
from controlplane.kernel.secrets import redact
from markets.feeds.clocks import VenueClocks
from markets.feeds.line import FeedLine
from markets.venues.errors import RateLimited, VenueError
from markets.venues.ports import MarketClient
from markets.venues.registry import VenueRegistry
from markets.venues.types import BookTop, Endpoint

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.05
"""How often a feed is looked at for whether it wants its venue asked."""
SHORTEST_POLL: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds between two questions while the venue gives no answer."""


def poll_seconds(fresh_ms: int) -> float:
    """Return how often to ask for a top: so often that a lost answer does not make it stale."""
    return max(SHORTEST_POLL, fresh_ms / 4000)


class Standby:
    """Asks venues over HTTP on behalf of the feeds of one process."""

    def __init__(self, registry: VenueRegistry, clock: Clock) -> None:
        self.clocks = VenueClocks(registry, clock)
        self._registry = registry
        self._clock = clock
        self._wanted: dict[tuple[str, Endpoint], dict[FeedLine, str]] = {}
        self._tasks: dict[tuple[str, Endpoint], asyncio.Task[None]] = {}
        self._served: dict[FeedLine, tuple[str, tuple[str, Endpoint]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def serve(self, line: FeedLine, symbol: str, dialect: str, endpoint: Endpoint) -> None:
        """Have the venue asked whenever `line` wants it, until cancelled.

        What was never heard is given its freshness threshold first.
        """
        key = dialect, endpoint
        # An adapter's libraries take a second to import: not on the loop, nor during an outage.
        await asyncio.to_thread(self._registry.market_client, dialect, endpoint)
        if line.forced is None:
            await asyncio.sleep(line.fresh_ms / 1000)
        self._served[line] = symbol, key
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="standby")
        try:
            # A look that broke is told to all; who still wants one begins it anew.
            await asyncio.shield(self._looking)
        finally:
            del self._served[line]
            self._leave(key, line)
            if not self._served:
                self._looking.cancel()

    async def _look(self) -> None:
        """See again and again who wants its venue asked: one task for all feeds."""
        while True:
            now = self._clock.monotonic()
            for line, (symbol, key) in self._served.items():
                if not line.wants_poll(now):
                    self._leave(key, line)
                    continue
                self._wanted.setdefault(key, {})[line] = symbol
                if key not in self._tasks or self._tasks[key].done():
                    self._tasks[key] = asyncio.create_task(
                        self._ask(key), name=f"standby {key[1].rest}"
                    )
            await asyncio.sleep(LOOK_SECONDS)

    def _leave(self, key: tuple[str, Endpoint], line: FeedLine) -> None:
        lines = self._wanted.get(key, {})
        if lines.pop(line, None) is not None and not lines and key in self._tasks:
            self._tasks.pop(key).cancel()

    async def _ask(self, key: tuple[str, Endpoint]) -> None:
        """Ask for every feed that wants it until none does."""
        dialect, endpoint = key
        client: MarketClient | None = None
        pause = 0.0
        try:
            while lines := dict(self._wanted.get(key, {})):
                fastest = poll_seconds(min(line.fresh_ms for line in lines))
                try:
                    client = client or self._registry.market_client(dialect, endpoint)
                    await self._round(client, lines)
                    pause = 0.0
                except VenueError as error:
                    pause = self._failed(lines, error, pause or fastest)
                except TimeoutError:
                    pause = self._failed(lines, TimeoutError("no answer in time"), fastest)
                except Exception as error:
                    logger.exception("Asking %s over HTTP broke.", endpoint.rest)
                    pause = self._failed(lines, error, LONGEST_PAUSE)
                await asyncio.sleep(max(pause, fastest))
        finally:
            if client is not None:
                await client.close()

    async def _round(self, client: MarketClient, lines: dict[FeedLine, str]) -> None:
        asked = self._clock.monotonic()
        async with asyncio.timeout(max(line.fresh_ms for line in lines) / 1000):
            tops = await self._tops(client, tuple(dict.fromkeys(lines.values())))
        for line, symbol in lines.items():
            if symbol in tops:
                line.take_polled(tops[symbol], asked)
            else:
                line.poll_trouble = "the venue's answer has no such symbol"

    async def _tops(self, client: MarketClient, symbols: tuple[str, ...]) -> dict[str, BookTop]:
        """Ask for all at once; when one symbol spoils the answer, for each alone."""
        try:
            return {top.venue_symbol: top for top in await client.book_tops(symbols)}
        except RateLimited:
            raise
        except VenueError:
            if len(symbols) == 1:
                raise
        found: dict[str, BookTop] = {}
        for symbol in symbols:
            try:
                found |= {top.venue_symbol: top for top in await client.book_tops((symbol,))}
            except RateLimited:
                raise
            except VenueError as error:
                logger.info("No top of %s over HTTP: %s", symbol, redact(error.message))
        return found

    def _failed(self, lines: dict[FeedLine, str], error: Exception, pause: float) -> float:
        text = error.message if isinstance(error, VenueError) else str(error)
        for line in lines:
            line.poll_trouble = redact(f"{type(error).__name__}: {text}"[:200])
        wait = error.retry_after if isinstance(error, RateLimited) else 0.0
        return max(wait, min(pause * 2, LONGEST_PAUSE))
