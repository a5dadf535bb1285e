"""B · Market data that lies about time, floods, or goes on without its marks, over real sockets."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import psutil
import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from django.db import connection, transaction
from django.utils import timezone

from controlplane.base.jobs import execute
from markets import selectors
from markets.feeds import publisher
from markets.models import FeedTraffic, Instrument, MarketDataFeed, Quote, Venue
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from monitoring.models import MonitoringEvent
from strategies.selectors import market_view
from tests import factories
from tests.markets.feeds.running import (
    book_ticker,
    row_until,
    running_feeds,
    scripted_venue,
    until,
)
from tests.markets.venues.conftest import paper_config

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_channel_layer() -> Iterator[None]:
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


def status(feed: MarketDataFeed) -> str:
    return MarketDataFeed.objects.values_list("status", flat=True).get(pk=feed.pk)


def stored(feed: MarketDataFeed) -> tuple[Decimal, Decimal] | None:
    return Quote.objects.filter(feed=feed).values_list("bid", "ask").first()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


LIES: dict[str, tuple[Callable[[], int], str]] = {
    "an hour ahead": (lambda: now_ms() + 3_600_000, "future"),
    "the year 5138": (lambda: 100_000_000_000_000, "bad-time"),
    "seconds": (lambda: now_ms() // 1000, "bad-time"),
    "microseconds": (lambda: now_ms() * 1000, "bad-time"),
    "an hour ago": (lambda: now_ms() - 3_600_000, "past"),
    "before the epoch": (lambda: -1, "bad-time"),
}


async def test_b11_event_times_that_cannot_be_are_quarantined_and_nothing_is_priced_from_them() -> (
    None
):
    """Each lie is counted by its reason and told of once; the quotes around it are believed."""
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            for number, (at, _reason) in enumerate(LIES.values()):
                true, lie = f"100.{number + 1}", "101.9"
                await venue.say(book_ticker(10 * number + 1, true, "102", E=now_ms()))
                await venue.say(book_ticker(10 * number + 2, lie, "102", E=at()))
                await row_until(lambda: stored(feed), (Decimal(true), Decimal(102)))
            line = feeds.line(feed)
            assert dict(line.drops) == {"bad-time": 4, "future": 1, "past": 1}
            assert line.quotes == len(LIES)
            await row_until(partial(status, feed), "healthy")
            await until(lambda: not line.disbelief.untold)
    told = MonitoringEvent.objects.filter(payload__code="frame_quarantined")
    assert {event.payload["reason"] async for event in told} == {"bad-time", "future", "past"}


@pytest.mark.parametrize("offset_ms", [-86_400_000, -1_300, 50_000])
async def test_b11_staleness_is_by_receipt_whatever_the_venues_clock_says(offset_ms: int) -> None:
    """A clock a day behind makes nothing stale, and one ahead keeps nothing fresh."""
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)(freshness_threshold=1000, failover_deadline=60_000)
        async with running_feeds() as feeds:
            await until(venue.books)
            for number in range(1, 4):
                await venue.say(book_ticker(number, E=now_ms() + offset_ms))
            await row_until(partial(status, feed), "healthy")
            await venue.say(book_ticker(9, E=now_ms() + offset_ms))
            said = time.monotonic()
            await row_until(partial(status, feed), "degraded", seconds=20)
            assert time.monotonic() - said >= 1.0
            assert not feeds.line(feed).drops
    row = await Quote.objects.aget(feed=feed)
    assert abs(datetime.now(UTC) - row.received_at) < timedelta(minutes=1)


async def test_b11_a_venue_that_has_set_its_clock_back_is_believed_again() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            await venue.say(book_ticker(1, E=now_ms()))
            back = [book_ticker(n, f"100.{n}", E=now_ms() - 3_600_000 + n) for n in range(2, 32)]
            await venue.say(*(frame.replace('"a": "100.2"', '"a": "101"') for frame in back))
            await row_until(lambda: stored(feed), (Decimal("100.31"), Decimal(101)))
            assert dict(feeds.line(feed).drops) == {"past": 20}


async def test_b12_a_flood_while_the_database_hangs_is_conflated_and_nothing_piles_up() -> None:
    """Fifteen thousand quotes: each is read, the board keeps one, and memory stays as it is."""
    quotes = 15_000
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            await venue.say(book_ticker(1))
            await row_until(partial(status, feed), "healthy", seconds=20)
            line, release = feeds.line(feed), asyncio.Event()
            hanging = asyncio.create_task(_hang(release))
            written, memory = feeds.publisher.stored, psutil.Process().memory_info().rss
            [socket] = venue.books()
            for number in range(2, quotes + 1):
                await socket.send(book_ticker(number, f"100.{number:05}", "102"))
            await until(lambda: line.quotes == quotes, seconds=60)
            assert psutil.Process().memory_info().rss - memory < 30_000_000
            assert len(feeds.board.unstored()) == 1
            assert feeds.publisher.stored - written <= 1  # one was on its way already
            release.set()
            await hanging
            await row_until(lambda: stored(feed), (Decimal("100.15000"), Decimal(102)), seconds=20)
            assert feeds.publisher.stored - written <= 10
            assert not line.drops


async def _hang(release: asyncio.Event) -> None:
    """Keep everybody from writing quotes until `release` is set."""
    held, loop = asyncio.Event(), asyncio.get_running_loop()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE markets_quote IN EXCLUSIVE MODE")
            loop.call_soon_threadsafe(held.set)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        connection.close()

    holding = asyncio.create_task(asyncio.to_thread(hold))
    await held.wait()
    await holding


@pytest.fixture
def quick_funding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FUNDING_SECONDS", 0.2)


async def test_b15_without_marks_funding_is_unknown_and_hedges_still_have_their_price(
    quick_funding: None,
) -> None:
    """Quotes flow and the mark stream is silent: no strategy may build on its funding."""
    config = replace(paper_config(start_paused=False), accounts=())
    async with PaperVenue.start(config) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        feed = await sync_to_async(_traded)(row)
        async with running_feeds() as feeds:
            await row_until(partial(_standing, row), (True, True), seconds=30)
            mute = Fault(FaultKind.WS_MUTE, stream="btcusdt@markPrice@1s")
            number = venue.faults.add(mute)
            await row_until(partial(_marks_are_silent, feed), True, seconds=30)
            assert await sync_to_async(_standing)(row) == (True, False)
            assert await sync_to_async(status)(feed) == "healthy"
            marks, quotes = feeds.line(feed).marked, feeds.line(feed).quotes
            await until(lambda: feeds.line(feed).quotes > quotes)
            assert feeds.line(feed).marked == marks
            venue.faults.clear(number)
            await row_until(partial(_standing, row), (True, True), seconds=30)
    edges = MonitoringEvent.objects.filter(payload__has_key="marksAreSilent").order_by("event_id")
    assert [(e.severity, e.payload["marksAreSilent"]) async for e in edges] == [
        ("WARN", True),
        ("INFO", False),
    ]


def _traded(row: Venue) -> MarketDataFeed:
    """Make a feed of an instrument whose funding terms have been read."""
    factories.instrument(venue=row)
    feed: MarketDataFeed = factories.feed(
        exchange=row, freshness_threshold=1500, failover_deadline=2500
    )
    execute("markets.sync_funding", {})
    return feed


def _standing(row: Venue) -> tuple[bool, bool]:
    """Tell whether the contract has a price to hedge at, and a funding rate to build on."""
    instrument = Instrument.objects.get(venue=row)
    hedge = selectors.market_standing(instrument, now=timezone.now())
    seen = market_view([row.pk], now=timezone.now()).get((row.pk, instrument.symbol))
    return hedge.top is not None, seen is not None and seen.funding is not None


def _marks_are_silent(feed: MarketDataFeed) -> bool:
    return FeedTraffic.objects.filter(feed=feed, marks_are_silent=True).exists()
