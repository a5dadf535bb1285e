"""A recorded burst of the real market goes through without a loss."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from markets.venues.paper.server import PaperVenue
from tests import factories
from tests.markets.feeds.running import row_until, running_feeds, until
from tests.markets.feeds.test_streams import stored
from tests.markets.venues.conftest import paper_config

ROOT = Path(__file__).resolve().parents[3]
CAPTURE = ROOT.parent / "shared" / "data" / "binance_usdm_btcusdt_20240808.txt.gz"
BOOK_TICKERS = 66_089

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(not CAPTURE.exists(), reason="the recorded capture is not here"),
]


async def test_no_quote_of_a_recorded_capture_is_lost() -> None:
    config = paper_config(replay=(CAPTURE,), replay_speed=Decimal(40))
    async with PaperVenue.start(config) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(exchange=row)
        async with running_feeds() as feeds:
            await until(lambda: venue.core.hub.listened("btcusdt@bookTicker"))
            venue.core.running.set()
            player = venue.player
            assert player is not None
            async with asyncio.timeout(90):
                await player.finished.wait()
            line = feeds.line(feed)
            await until(lambda: line.quotes == player.sent["BTCUSDT"])
            assert (line.quotes, line.drops.total()) == (BOOK_TICKERS, 0)
            house = venue.engine.markets["BTCUSDT"].quote
            last = tuple(
                str(number.normalize())
                for number in (house.bid, house.ask, house.bid_size, house.ask_size)
            )
            await row_until(lambda: stored(feed), last)
