"""Venue sockets to board to database, on real sockets and a real database."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from django.db import connection

from markets.feeds import supervisor, ticks
from markets.feeds.line import FeedLine
from markets.models import Instrument, MarketDataFeed, Quote
from markets.venues.paper.server import PaperVenue
from monitoring.models import MonitoringEvent
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


def stored(feed: MarketDataFeed) -> tuple[str, ...]:
    row = Quote.objects.filter(feed=feed).values_list("bid", "ask", "bid_size", "ask_size").first()
    return tuple(str(number.normalize()) for number in row or ())


async def test_quotes_of_the_paper_venue_reach_the_database_digit_by_digit() -> None:
    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(exchange=row)
        async with running_feeds() as feeds:
            await row_until(lambda: status(feed), "healthy")
            await until(lambda: feeds.line(feed).quotes >= 5 and feeds.line(feed).mark)
            venue.core.running.clear()
            await asyncio.sleep(0.3)
            house = venue.engine.markets["BTCUSDT"].quote
            expected = tuple(
                str(number.normalize())
                for number in (house.bid, house.ask, house.bid_size, house.ask_size)
            )
            await row_until(lambda: stored(feed), expected)


async def test_eighteen_decimals_survive_the_way_to_the_database() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds():
            await until(venue.books)
            await venue.say(
                book_ticker(1, "30000.123456789012345678", "30000.123456789012345679", B="1e-18")
            )
            await row_until(
                lambda: stored(feed),
                ("30000.123456789012345678", "30000.123456789012345679", "1E-18", "2.5"),
            )


async def test_silent_open_socket_degrades_within_its_threshold() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)(freshness_threshold=400, failover_deadline=1200)
        async with running_feeds():
            await until(venue.books)
            for update_id in range(1, 4):
                await venue.say(book_ticker(update_id))
                await asyncio.sleep(0.1)
            await row_until(lambda: status(feed), "healthy")
            await venue.say(book_ticker(9))
            said = time.monotonic()
            for socket in venue.books():
                await socket.ping()
            await row_until(lambda: status(feed), "degraded")
            assert time.monotonic() - said >= 0.4
            await row_until(lambda: status(feed), "failing")
            assert time.monotonic() - said >= 1.2
    edges = [
        (event.payload["from"], event.payload["to"], event.severity)
        async for event in MonitoringEvent.objects.order_by("event_id")
    ]
    assert edges == [
        ("failing", "healthy", "INFO"),
        ("healthy", "degraded", "WARN"),
        ("degraded", "failing", "CRITICAL"),
    ]
    last = await Quote.objects.aget(feed=feed)
    row = await MarketDataFeed.objects.aget(pk=feed.pk)
    assert row.last_heartbeat is not None
    assert abs((row.last_heartbeat - last.received_at).total_seconds()) < 0.01


async def test_socket_without_data_is_dropped_and_opened_again() -> None:
    async with scripted_venue() as venue:
        await sync_to_async(venue.feed)(freshness_threshold=100, failover_deadline=300)
        async with running_feeds():
            await until(lambda: venue.opened.count("/public/stream") >= 2, seconds=3)


async def test_bad_frames_are_counted_logged_once_a_burst_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="markets.feeds.board")
    bad: list[str | bytes] = [
        book_ticker(2, "NaN"),
        book_ticker(3, "Infinity"),
        book_ticker(4, "-1"),
        book_ticker(5, "0"),
        book_ticker(6, "101", "100"),
        book_ticker(7, B="0"),
        book_ticker(8, "1e400"),
        book_ticker(9, s="ETHUSDT"),
        book_ticker(1),
        '{"stream": "btcusdt@bookTicker", "data": {"e": "bookTicker"',
        "[" * 5000,
        b"\xff\xfe\x00",
    ]
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            await venue.say(book_ticker(1), *bad, book_ticker(20, "105", "106"))
            await row_until(lambda: stored(feed)[:2], ("105", "106"))
            line = feeds.line(feed)
            assert line.drops.total() == len(bad)
            assert line.quotes == 2
            assert len(venue.opened) == 2
    assert len([record for record in caplog.records if "not believed" in record.message]) == 1


async def test_huge_frame_is_counted_told_of_once_and_the_feed_goes_on() -> None:
    """A17 on a public socket."""
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            line = feeds.line(feed)
            for told in (1, 2):
                await venue.say("7" * 20_000_000)
                await until(partial(_has_dropped, line, "oversized", told))
                await until(lambda: not line.disbelief.untold)
            assert venue.opened.count("/public/stream") == 1
            await venue.say(book_ticker(1))
            await row_until(lambda: stored(feed)[:2], ("100.1", "100.2"))
    event = await MonitoringEvent.objects.aget(payload__code="frame_quarantined")
    assert (event.severity, event.payload["feedId"]) == ("WARN", feed.pk)
    assert event.payload["detail"].startswith("20000000 bytes: b'7777")


def _has_dropped(line: FeedLine, reason: str, times: int) -> bool:
    return line.drops[reason] == times


async def test_quote_the_database_refuses_is_dropped_and_the_next_one_kept() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            # The two are one price, as the database keeps them.
            await venue.say(book_ticker(1, "100.1", "100.1000000000000000001"))
            await until(lambda: feeds.line(feed).drops["refused"])
            await venue.say(book_ticker(2))
            await row_until(lambda: stored(feed)[:2], ("100.1", "100.2"))
            assert dict(feeds.line(feed).drops) == {"refused": 1}


async def test_feed_comes_back_after_the_server_dropped_it() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds():
            await until(venue.books)
            await venue.say(book_ticker(1000))
            for socket in list(venue.sockets):
                socket.transport.abort()
            await until(lambda: not venue.books())
            await until(venue.books, seconds=2)
            # The venue counts from the start again, as after its own restart.
            await venue.say(book_ticker(1, "99.1", "99.2", E=1_767_000_005_000))
            await row_until(lambda: stored(feed)[:2], ("99.1", "99.2"))


SOON = 3
"""A second, and what a busy machine adds to it."""


@pytest.mark.parametrize("heard", ["bus", "poll"])
async def test_changed_feed_takes_effect_within_a_second(
    heard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if heard == "bus":
        monkeypatch.setattr(supervisor, "POLL_SECONDS", 60)
    async with scripted_venue() as old, scripted_venue() as new:
        feed = await sync_to_async(old.feed)()
        rows = MarketDataFeed.objects.filter(pk=feed.pk)
        async with running_feeds(listen=heard == "bus") as feeds:
            await until(old.books)
            await asyncio.sleep(0.2)
            await rows.aupdate(ws_endpoint=new.addresses["ws_endpoint"])
            await until(lambda: new.books() and not old.books(), seconds=SOON)
            await rows.aupdate(is_enabled=False)
            await until(lambda: not new.books(), seconds=SOON)
            await until(lambda: feeds.lines() == set(), seconds=SOON)
            await rows.aupdate(is_enabled=True)
            await until(new.books, seconds=SOON)
            await rows.adelete()
            await until(lambda: not new.books() and not feeds.lines(), seconds=SOON)
            added = await sync_to_async(old.feed)()
            await until(lambda: old.books() and feeds.lines() == {added.pk}, seconds=SOON)


async def test_feed_waits_for_its_venues_instrument() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        await Instrument.objects.all().adelete()
        async with running_feeds() as feeds:
            await until(lambda: feeds.lines() == {feed.pk})
            await until(lambda: feeds.line(feed).link == "no instrument")
            await sync_to_async(factories.instrument)(venue=feed.exchange)
            await until(venue.books, seconds=2)


async def test_feed_that_cannot_be_held_says_why_and_leaves_the_others_alone() -> None:
    async with scripted_venue() as venue:
        good = await sync_to_async(venue.feed)()
        elsewhere = {**venue.addresses, "ws_endpoint": "wss://elsewhere.example"}
        other = await sync_to_async(factories.venue)(dialect="pacifica", **elsewhere)
        await sync_to_async(factories.instrument)(venue=other)
        odd = await sync_to_async(factories.feed)(exchange=other)
        async with running_feeds() as feeds:
            await until(lambda: feeds.lines() == {good.pk, odd.pk})
            await until(lambda: "EndpointRefused" in feeds.line(odd).link)
            await until(venue.books)
            await venue.say(book_ticker(1))
            await row_until(lambda: status(good), "healthy")
            assert await sync_to_async(status)(odd) == "failing"


async def test_restart_is_no_outage_while_the_last_data_is_young() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)(freshness_threshold=5000)
        for update_id in (1, 2):
            async with running_feeds():
                await until(venue.books)
                await venue.say(book_ticker(update_id))
                await row_until(lambda: status(feed), "healthy")
    assert await MonitoringEvent.objects.acount() == 1


async def test_sockets_outlive_the_database_and_the_newest_quote_is_kept() -> None:
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            await venue.say(book_ticker(1))
            await row_until(lambda: stored(feed)[:2], ("100.1", "100.2"))
            with_cut = asyncio.create_task(sync_to_async(_cut_off_others)(0.7))
            for update_id in range(2, 60):
                await venue.say(book_ticker(update_id, f"100.{update_id:02}", "101"))
                await asyncio.sleep(0.01)
            await with_cut
            await row_until(lambda: stored(feed)[:2], ("100.59", "101"))
            assert feeds.line(feed).quotes == 59
            assert venue.opened.count("/public/stream") == 1


def _cut_off_others(seconds: float) -> None:
    """Cut every other connection to the test database, again and again."""
    until_at = time.monotonic() + seconds
    while time.monotonic() < until_at:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(0.01)


async def test_handlers_hear_of_moved_prices_off_the_loop_and_conflated() -> None:
    calls: list[tuple[str, Decimal, float, int]] = []

    def handler(symbol: str, price: Decimal) -> None:
        calls.append((symbol, price, time.monotonic(), threading.get_ident()))

    ticks.subscribe(handler)
    try:
        async with scripted_venue() as venue:
            await sync_to_async(venue.feed)()
            async with running_feeds():
                await until(venue.books)
                for update_id in range(1, 60):
                    await venue.say(book_ticker(update_id, str(99 + update_id), "1000"))
                    await asyncio.sleep(0.01)
                await until(lambda: calls and calls[-1][1] == Decimal(579))
                told = len(calls)
                await venue.say(book_ticker(100, "158", "1000"))
                await asyncio.sleep(0.5)
    finally:
        ticks.unsubscribe(handler)
    assert len(calls) == told  # the price did not move
    assert {call[0] for call in calls} == {"BTC"}
    assert threading.get_ident() not in {call[3] for call in calls}
    # Calls are apart by the interval, but each may wait for its thread a while longer.
    span = calls[-1][2] - calls[0][2]
    assert 2 <= told <= span / ticks.INTERVAL_SECONDS + 2


async def test_consumer_that_died_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.1)
    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            first = feeds.line(feed)
            feeds.supervisor._running[("feed", feed.pk)].cancel()
            await until(lambda: feed.pk in feeds.lines() and feeds.line(feed) is not first)
            await until(lambda: len(venue.books()) == 1)
