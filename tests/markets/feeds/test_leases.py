"""Streams shared among processes: one holder each, by the database's clock and by fences."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models.functions import Now

from markets.leases import LEASE, leases_keep, leases_release, still_held
from markets.models import MarketDataFeed, Quote, StreamHolder, StreamLease
from markets.venues.paper.server import PaperVenue
from tests import factories
from tests.markets.feeds.running import book_ticker, row_until, running_feeds, scripted_venue, until
from tests.markets.feeds.test_run_feeds import started
from tests.markets.venues.conftest import paper_config

FEEDS = ("a", "b", "c")


def keep(holder: str, *, is_sharing: bool = True) -> dict[str, int]:
    share = leases_keep(holder=holder, kind="feed", wanted=FEEDS, is_sharing=is_sharing)
    if share.give:
        leases_release(holder=holder, kind="feed", keys=share.give)
    return {key: fence for key, fence in share.fences.items() if key not in share.give}


def pass_time(holder: str) -> None:
    """Let a holder's time be up."""
    StreamLease.objects.filter(holder=holder).update(expires_at=Now() - timedelta(seconds=1))
    StreamHolder.objects.filter(pk=f"feed/{holder}").update(expires_at=Now() - timedelta(seconds=1))


@pytest.mark.django_db
def test_lease_changes_hands_with_a_higher_fence_and_the_old_holder_cannot_write() -> None:
    assert keep("one") == {"a": 1, "b": 1, "c": 1}
    assert keep("two") == {}
    assert keep("one") == {"a": 1, "b": 1}
    assert keep("two") == {"c": 2}
    pass_time("one")
    assert keep("two") == {"a": 2, "b": 2, "c": 2}
    assert still_held(holder="one", kind="feed", fences={"a": 1, "b": 1}) == set()
    assert still_held(holder="two", kind="feed", fences={"a": 2, "b": 1}) == {"a"}
    assert keep("one") == {}


@pytest.mark.django_db
def test_late_holder_goes_on_with_its_fence_while_nobody_took_its_streams() -> None:
    keep("one")
    pass_time("one")
    assert still_held(holder="one", kind="feed", fences={"a": 1}) == {"a"}
    assert keep("one") == {"a": 1, "b": 1, "c": 1}


@pytest.mark.django_db
def test_holder_of_named_feeds_alone_is_no_reason_to_share() -> None:
    keep("one")
    assert keep("two", is_sharing=False) == {}
    assert keep("one") == {"a": 1, "b": 1, "c": 1}
    leases_release(holder="one", kind="feed")
    assert keep("two", is_sharing=False) == {"a": 2, "b": 2, "c": 2}
    assert list(StreamHolder.objects.all()) == []


@pytest.mark.django_db
def test_leases_of_one_kind_do_not_touch_the_other() -> None:
    keep("one")
    share = leases_keep(holder="two", kind="account", wanted=["a"], is_sharing=True)
    assert share.fences == {"a": 1}


@pytest.mark.django_db(transaction=True)
async def test_former_holder_writes_nothing_any_more() -> None:
    def rob() -> None:
        StreamLease.objects.update(holder="another", fence=7, expires_at=Now() + 20 * LEASE)

    async with scripted_venue() as venue:
        feed = await sync_to_async(venue.feed)()
        async with running_feeds() as feeds:
            await until(venue.books)
            await venue.say(book_ticker(1))
            await row_until(lambda: Quote.objects.filter(feed=feed).count(), 1)
            line = feeds.line(feed)
            await sync_to_async(rob)()
            await venue.say(book_ticker(2, bid="100.15"))
            await until(lambda: line.quotes == 2)
            await until(lambda: not feeds.lines())
    assert [quote.bid async for quote in Quote.objects.all()] == [Decimal("100.1")]
    await sync_to_async(lambda: connection.close())()  # the worker thread's own


@pytest.mark.django_db(transaction=True)
async def test_killed_process_is_replaced_by_the_other_within_five_seconds() -> None:
    def holders() -> list[str]:
        live = StreamLease.objects.filter(kind="feed", expires_at__gt=Now()).exclude(holder="")
        return sorted(live.values_list("holder", flat=True))

    def is_split() -> bool:
        return len(holders()) == 2 and len(set(holders())) == 2

    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        for symbol in ("BTC", "ETH"):
            await sync_to_async(factories.instrument)(
                venue=row, symbol=symbol, venue_symbol=f"{symbol}USDT"
            )
            await sync_to_async(factories.feed)(exchange=row, symbol=symbol)
        processes = [await started(), await started()]
        try:
            await row_until(is_split, True, seconds=60)
            first = (await sync_to_async(holders)())[0]
            victim = next(one for one in processes if f"-{one.pid}-" in first)
            left = next(one for one in processes if one is not victim)
            victim.kill()

            def is_taken_over() -> bool:
                return len(holders()) == 2 and all(f"-{left.pid}-" in name for name in holders())

            await row_until(is_taken_over, True, seconds=5.0)
            await row_until(
                lambda: MarketDataFeed.objects.filter(status="healthy").count(), 2, seconds=20
            )
            left.terminate()
            async with asyncio.timeout(20):
                assert await left.wait() == 0
            assert await sync_to_async(holders)() == []
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    fences = [lease.fence async for lease in StreamLease.objects.all()]
    assert len(fences) == 2
    assert max(fences) >= 2
    await sync_to_async(lambda: connection.close())()  # the worker thread's own
