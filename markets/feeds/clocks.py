"""What time it is at the venues, and how fast they answer: each is asked now and then.

The clock is read as NTP does: the venue told its time somewhere between our question and its
answer, so half of the round trip bounds the error.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from controlplane.kernel.clock import Clock
from controlplane.kernel.secrets import redact
from markets.venues.errors import RateLimited, VenueError
from markets.venues.registry import VenueRegistry
from markets.venues.types import Endpoint

logger = logging.getLogger(__name__)

ASK_SECONDS: Final = 5.0
CLOCK_READINGS: Final = 12
"""The best of the last minute's readings counts: clocks drift by some ms in that time at most."""
TRIPS: Final = 60
"""Round trips the HTTP p95 is of: five minutes."""
RESOLUTION_MS: Final = 1.0
"""A venue tells whole milliseconds."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A venue's clock less our monotonic one, in ms, and by how much that may be off."""

    offset_ms: float
    error_ms: float


class VenueClock:
    """One venue's clock and its pace over HTTP, by its latest answers."""

    def __init__(self) -> None:
        self._readings: deque[ClockReading] = deque(maxlen=CLOCK_READINGS)
        self._trips: deque[float | None] = deque(maxlen=TRIPS)

    def answered(self, venue_ms: float, *, asked: float, answered: float) -> None:
        """Take an answer; `asked` and `answered` are monotonic seconds."""
        trip = (answered - asked) * 1000.0
        middle = (asked + answered) * 500.0
        self._readings.append(ClockReading(venue_ms - middle, trip / 2 + RESOLUTION_MS))
        self._trips.append(trip)

    def failed(self) -> None:
        """Note that no answer came: what is known grows old."""
        self._trips.append(None)
        if self._readings:
            self._readings.popleft()

    def reading(self) -> ClockReading | None:
        """Return the least uncertain of the latest readings, None while there is none."""
        return min(self._readings, key=lambda reading: reading.error_ms, default=None)

    def http_p95(self) -> int | None:
        """Return the p95 of the round trips in ms, None without answers."""
        trips = sorted(trip for trip in self._trips if trip is not None)
        return round(trips[int(0.95 * (len(trips) - 1))]) if trips else None


class VenueClocks:
    """Keeps the clock of every venue that a feed of this process uses; one task a venue."""

    def __init__(self, registry: VenueRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._clocks: dict[tuple[str, Endpoint], VenueClock] = {}
        self._users: dict[tuple[str, Endpoint], int] = {}
        self._tasks: dict[tuple[str, Endpoint], asyncio.Task[None]] = {}

    def of(self, dialect: str, endpoint: Endpoint) -> VenueClock:
        """Return a venue's clock, which knows nothing until `serve` has asked."""
        return self._clocks.setdefault((dialect, endpoint), VenueClock())

    async def serve(self, dialect: str, endpoint: Endpoint) -> None:
        """Have the venue asked for its time until cancelled, once for all feeds that want it."""
        key = dialect, endpoint
        # An adapter's libraries take a second to import: not on the loop.
        await asyncio.to_thread(self._registry.market_client, dialect, endpoint)
        self._users[key] = self._users.get(key, 0) + 1
        if key not in self._tasks or self._tasks[key].done():
            self._tasks[key] = asyncio.create_task(self._ask(key), name=f"clock {endpoint.rest}")
        try:
            await asyncio.shield(self._tasks[key])
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                self._tasks.pop(key).cancel()

    async def _ask(self, key: tuple[str, Endpoint]) -> None:
        dialect, endpoint = key
        clock = self.of(dialect, endpoint)
        client = self._registry.market_client(dialect, endpoint)
        try:
            while True:
                wait = 0.0
                asked = self._clock.monotonic()
                try:
                    async with asyncio.timeout(ASK_SECONDS):
                        told = await client.server_time()
                    answered = self._clock.monotonic()
                    clock.answered(told.timestamp() * 1000, asked=asked, answered=answered)
                except (VenueError, TimeoutError) as error:
                    clock.failed()
                    wait = error.retry_after if isinstance(error, RateLimited) else 0.0
                    logger.debug("%s tells no time: %s", endpoint.rest, redact(str(error)[:200]))
                await asyncio.sleep(max(wait, ASK_SECONDS))
        finally:
            await client.close()
