"""The command as it is run: a process of its own that stops when told."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from controlplane.sentinel import Sentinel
from markets.models import MarketDataFeed, Quote
from markets.venues.paper.server import PaperVenue
from monitoring.models import MonitoringEvent
from tests import factories
from tests.markets.feeds.running import row_until
from tests.markets.venues.conftest import paper_config

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[3]
RUN = """
import sys, django
django.setup()
from django.core.management import call_command
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
call_command("run_feeds", "--json")
"""


async def started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        str(connection.settings_dict["NAME"]),
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_process_holds_feeds_and_stops_cleanly(stop: signal.Signals) -> None:
    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(exchange=row)
        process = await started()
        try:
            assert process.stdout is not None
            told: list[tuple[str, str]] = []
            async with asyncio.timeout(60):
                while told != [(feed.pk, "healthy")]:
                    figures = json.loads(await process.stdout.readline())
                    told = [(line["feedId"], line["status"]) for line in figures["feeds"]]
            process.send_signal(stop)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
    stored = await Quote.objects.aget(feed=feed)
    assert stored.bid < stored.ask
    await sync_to_async(lambda: connection.close())()  # the worker thread's own


async def test_killed_process_is_noticed_by_the_sentinel_and_its_feed_comes_back() -> None:
    def status() -> str:
        return MarketDataFeed.objects.values_list("status", flat=True).get(pk=feed.pk)

    def watched() -> str:
        Sentinel().feeds()
        return status()

    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(
            exchange=row, freshness_threshold=1000, failover_deadline=2000
        )
        processes = [await started()]
        try:
            await row_until(status, "healthy", seconds=30)
            processes[0].kill()
            killed = time.monotonic()
            await asyncio.sleep(1.0)
            assert await sync_to_async(watched)() == "healthy"  # its data is still young
            while await sync_to_async(watched)() != "failing":
                assert time.monotonic() - killed < 4.0
                await asyncio.sleep(1.0)
            processes.append(await started())
            await row_until(watched, "healthy", seconds=30)
            assert await sync_to_async(watched)() == "healthy"
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    edges = [
        (event.payload["from"], event.payload["to"])
        async for event in MonitoringEvent.objects.filter(type="failover-alert").order_by(
            "event_id"
        )
    ]
    assert edges == [("failing", "healthy"), ("healthy", "failing"), ("failing", "healthy")]
    await sync_to_async(lambda: connection.close())()  # the worker thread's own
