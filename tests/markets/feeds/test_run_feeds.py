"""The command as it is run: a process of its own that stops when told."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from markets.models import Quote
from markets.venues.paper.server import PaperVenue
from tests import factories
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


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_process_holds_feeds_and_stops_cleanly(stop: signal.Signals) -> None:
    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(exchange=row)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUN,
            str(connection.settings_dict["NAME"]),
            cwd=ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdout=asyncio.subprocess.PIPE,
        )
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
