"""Quotes of venues without a stream: asked for over HTTP, handed on as a stream would."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from controlplane.kernel.clock import Clock
from markets.feeds.runner import FATAL, LONGEST_DELAY, LinkWatcher
from markets.venues.errors import RateLimited, VenueError
from markets.venues.ports import MarketClient
from markets.venues.types import BookTop

logger = logging.getLogger(__name__)


async def run_polling(
    client: MarketClient,
    venue_symbol: str,
    on_tops: Callable[[Sequence[BookTop], float], None],
    *,
    clock: Clock,
    on_link: LinkWatcher,
    seconds: float,
) -> None:
    """Ask for the top of a book every so many seconds until cancelled.

    `on_tops` gets each answer and, on the monotonic clock, when it was asked for: an answer may be
    as old as its question. Raises what is FATAL; all
    else is tried again, after longer and longer pauses or when the venue allows.
    """
    up, pause = False, seconds
    while True:
        try:
            asked = clock.monotonic()
            on_tops(await client.book_tops((venue_symbol,)), asked)
            if not up:
                on_link(True, "")
            up, pause = True, seconds
        except FATAL:
            raise
        except VenueError as error:
            if up:
                logger.info("Polling %s failed: %s", venue_symbol, error.message)
            on_link(False, f"{type(error).__name__}: {error.message}"[:200])
            wait = error.retry_after if isinstance(error, RateLimited) else 0.0
            up, pause = False, max(wait, min(pause * 2, LONGEST_DELAY))
        await asyncio.sleep(pause)
