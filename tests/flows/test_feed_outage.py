"""One outage of market data from its beginning to the way back, as it is on record."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiohttp import web
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from django.template.loader import render_to_string
from django.utils import timezone

from controlplane.base.audit import Actor, Surface
from markets import failover, selectors
from markets.models import Instrument, MarketDataFeed, Quote, SynthPriceSnapshot
from markets.venues.paper.server import PaperVenue
from monitoring.dashboard import PANELS
from monitoring.models import MonitoringEvent
from tests import factories
from tests.accounts.paper import Gateway
from tests.markets.feeds.running import row_until, running_feeds, until
from tests.markets.venues.conftest import paper_config

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor(name="olga", surface=Surface.ADMIN)
TOP = ("GET", "/fapi/v1/ticker/bookTicker")


@pytest.fixture(autouse=True)
def _own_channel_layer() -> Iterator[None]:
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


async def refused(request: web.Request) -> web.Response:
    return web.Response(status=503, text="<html>")


@asynccontextmanager
async def gateway(venue: PaperVenue) -> AsyncIterator[Gateway]:
    """The venue's HTTP side, which can be made to fail while its sockets stay."""
    door = Gateway(venue.rest_url)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", door.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    door.port = runner.addresses[0][1]
    try:
        yield door
    finally:
        await runner.cleanup()


def made_feed(venue: PaperVenue, door: Gateway) -> MarketDataFeed:
    """The feed under test, and two of other venues that stay fresh throughout."""
    row = factories.venue(rest_endpoint=door.url, ws_endpoint=venue.ws_url)
    factories.instrument(venue=row)
    price = venue.engine.markets["BTCUSDT"].quote
    for _number in range(2):
        other = factories.feed(freshness_threshold=60_000, failover_deadline=90_000)
        Quote.objects.create(
            feed=other,
            bid=price.bid,
            ask=price.ask,
            bid_size=1,
            ask_size=1,
            venue_at=timezone.now(),
            received_at=timezone.now(),
            sequence=1,
        )
    feed: MarketDataFeed = factories.feed(
        exchange=row, freshness_threshold=600, failover_deadline=3000
    )
    return feed


@asynccontextmanager
async def others_go_on(feed: MarketDataFeed) -> AsyncIterator[None]:
    """Have the other feeds heard all the time."""

    async def hear() -> None:
        while True:
            others = Quote.objects.exclude(feed=feed)
            await others.aupdate(received_at=timezone.now())
            await asyncio.sleep(0.1)

    hearing = asyncio.create_task(hear())
    try:
        yield
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


def state(feed: MarketDataFeed) -> tuple[str, str]:
    found = MarketDataFeed.objects.values_list("status", "source").get(pk=feed.pk)
    return str(found[0]), str(found[1])


def shown(feed: MarketDataFeed) -> str:
    """Return what the dashboard's panel says of the feed."""
    panel = PANELS["feeds"]
    html = render_to_string(panel.template, {**panel.content(timezone.now())})
    return html.partition(f"{feed.pk}</a>")[2].partition("</tr>")[0]


def story(feed: MarketDataFeed) -> list[tuple[str, str]]:
    """Return status and source after each event of the feed, in order."""
    told = MonitoringEvent.objects.filter(type="failover-alert", payload__feedId=feed.pk)
    return [
        (event.payload["to"], event.payload["toSource"])
        for event in told.order_by("event_id")
        if "to" in event.payload
    ]


async def test_an_outage_tells_its_story_in_order_and_ends() -> None:
    config = paper_config(start_paused=False)
    async with PaperVenue.start(config) as venue, gateway(venue) as door:
        feed = await sync_to_async(made_feed)(venue, door)
        async with running_feeds() as feeds, others_go_on(feed):
            await row_until(lambda: state(feed), ("healthy", "websocket"), seconds=20)
            await until(lambda: feeds.line(feed).mark, seconds=20)
            venue.core.running.clear()  # the sockets stay open and say nothing
            await row_until(lambda: state(feed), ("degraded", "http"), seconds=20)
            assert "over HTTP" in await sync_to_async(shown)(feed)
            door.faults[TOP] = refused
            await row_until(lambda: state(feed), ("degraded", "synthetic"), seconds=20)
            assert "synthetic price" in await sync_to_async(shown)(feed)
            await row_until(lambda: state(feed), ("failing", "synthetic"), seconds=20)
            await row_until(lambda: stand_in(feed), (False, True))
            del door.faults[TOP]
            venue.core.running.set()
            await row_until(lambda: state(feed), ("healthy", "websocket"), seconds=30)
            assert "healthy" in await sync_to_async(shown)(feed)
            await row_until(lambda: stand_in(feed), (True, False))
    steps = await sync_to_async(story)(feed)
    told = iter(steps)
    for step in (
        ("healthy", "websocket"),
        ("degraded", "http"),
        ("degraded", "synthetic"),
        ("failing", "synthetic"),
        ("healthy", "websocket"),
    ):
        assert step in told, f"{step} is not where it belongs in {steps}"
    assert steps[-1] == ("healthy", "websocket")
    assert all(one != other for one, other in pairwise(steps))
    async for snapshot in SynthPriceSnapshot.objects.filter(feed=feed):
        assert snapshot.reason in {"http-timeout", "ws-failover"}
        assert await snapshot.source_feeds.acount() == 2
        assert snapshot.bid < snapshot.mid_price < snapshot.ask


def stand_in(feed: MarketDataFeed) -> tuple[bool, bool]:
    """Tell whether the venue's market has a price of its own, and one made for it."""
    instrument = Instrument.objects.get(venue_id=feed.exchange_id)
    standing = selectors.market_standing(instrument, now=timezone.now())
    return standing.top is not None, standing.stand_in is not None


async def test_a_person_fails_over_and_back_while_the_stream_is_well() -> None:
    config = paper_config(start_paused=False)
    async with PaperVenue.start(config) as venue, gateway(venue) as door:
        feed = await sync_to_async(made_feed)(venue, door)
        over, back = sync_to_async(failover.feed_failover), sync_to_async(failover.feed_failback)
        async with running_feeds(), others_go_on(feed):
            await row_until(lambda: state(feed), ("healthy", "websocket"), seconds=20)
            await over(feed=feed, actor=ACTOR, reason="its stream lies")
            await row_until(lambda: state(feed), ("degraded", "http"), seconds=20)
            await over(feed=feed, actor=ACTOR, reason="so does the rest")
            await row_until(lambda: state(feed)[1], "synthetic", seconds=20)
            await back(feed=feed, actor=ACTOR, reason="the venue mended it")
            await row_until(lambda: state(feed), ("healthy", "websocket"), seconds=20)
    reasons = SynthPriceSnapshot.objects.filter(feed=feed).values_list("reason", flat=True)
    assert "manual" in await sync_to_async(lambda: set(reasons))()


@pytest.mark.parametrize("server", ["nothing", "http", "mute"])
async def test_endpoint_that_is_no_stream_is_named_and_tried_again(server: str) -> None:
    """Nobody listens, a web server answers, or a socket takes the connection and says nothing."""
    calls = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if server == "http":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        else:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        if server == "nothing":
            listening.close()
            await listening.wait_closed()
        address = f"127.0.0.1:{port}"
        row = await sync_to_async(factories.venue)(
            rest_endpoint=f"http://{address}", ws_endpoint=f"ws://{address}"
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(exchange=row)

        def says() -> bool:
            link = MarketDataFeed.objects.values_list("link", flat=True).get(pk=feed.pk)
            return link not in {"", "not connected", "connected"}

        async with running_feeds():
            await row_until(says, True, seconds=25)
            if server != "nothing":
                seen = calls
                await until(lambda: calls > seen, seconds=25)
    assert (await sync_to_async(state)(feed)) == ("failing", "none")
