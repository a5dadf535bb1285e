"""Venues without a stream: their quotes are polled over HTTP into the same board."""

import asyncio
from collections.abc import Callable

from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds.polling import run_polling
from markets.venues.registry import VenueRegistry
from markets.venues.types import BookTop
from tests.markets.venues.ccxt_stubs import BybitStub, now_ms


async def test_quotes_are_polled_and_a_failing_venue_is_told_and_tried_again() -> None:
    tops: list[BookTop] = []
    links: list[bool] = []
    async with BybitStub().serve() as venue:
        client = VenueRegistry(allow_loopback=True).market_client("generic", venue.endpoint)
        polling = asyncio.create_task(
            run_polling(
                client,
                venue.symbol,
                lambda found, _received: tops.extend(found),
                clock=SYSTEM_CLOCK,
                on_link=lambda is_up, _reason: links.append(is_up),
                seconds=0.01,
            )
        )
        await _until(lambda: len(tops) >= 3)
        venue.answers["book_ms"] = now_ms() - 60_000
        await _until(lambda: links[-1] is False)
        heard = len(tops)
        del venue.answers["book_ms"]
        await _until(lambda: len(tops) > heard)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await client.close()
    assert links[0] is True
    assert links[-1] is True


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError
