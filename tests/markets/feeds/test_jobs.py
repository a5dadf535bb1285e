"""Jobs and commands that read what venues list and fund, against a running paper venue."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection

from controlplane.base.jobs import execute
from markets.models import FundingRate, Instrument, Venue
from markets.venues.paper.server import PaperVenue
from monitoring.models import JobRun
from tests import factories
from tests.markets.venues.conftest import paper_config

pytestmark = pytest.mark.django_db(transaction=True)


@pytest_asyncio.fixture
async def venue() -> AsyncIterator[Venue]:
    async with PaperVenue.start(paper_config()) as running:
        yield await sync_to_async(factories.venue)(
            rest_endpoint=running.rest_url, ws_endpoint=running.ws_url
        )
    await sync_to_async(lambda: connection.close())()  # the worker thread's own


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    out = StringIO()
    try:
        call_command("sync_instruments", *arguments, "--json", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


async def test_funding_of_a_new_venue_brings_its_instruments_first(venue: Venue) -> None:
    await sync_to_async(factories.feed)(exchange=venue)
    await sync_to_async(execute)("markets.sync_funding", {})
    run = await JobRun.objects.aget()
    assert (run.status, run.error) == ("success", "")
    symbols = [row.venue_symbol async for row in Instrument.objects.order_by("venue_symbol")]
    assert symbols == ["BTCUSDT", "ETHUSDT"]
    rates = [rate async for rate in FundingRate.objects.all()]
    assert len(rates) == 2
    assert {rate.interval_hours for rate in rates} == {8}


async def test_one_venues_trouble_does_not_keep_the_others_waiting(venue: Venue) -> None:
    dead = await sync_to_async(factories.venue)(venue_id="a-dead-one")
    await sync_to_async(factories.feed)(exchange=dead)
    await sync_to_async(factories.feed)(exchange=venue)
    await sync_to_async(execute)("markets.sync_instruments", {})
    run = await JobRun.objects.aget()
    assert run.status == "failed"
    assert "a-dead-one" in run.error
    assert await Instrument.objects.filter(venue=venue).acount() == 2
    assert not await Instrument.objects.filter(venue=dead).aexists()


async def test_command_says_what_changed(venue: Venue) -> None:
    code, told = await sync_to_async(command)("--venue", venue.pk)
    assert code == 0
    assert told["venues"] == [
        {
            "venueId": venue.pk,
            "created": 2,
            "changed": 0,
            "unchanged": 0,
            "retired": 0,
            "frozen": 0,
            "refused": [],
            "error": "",
        }
    ]
    row = await Instrument.objects.aget(venue_symbol="BTCUSDT")
    assert (row.contract_size, row.tick, row.lot) == (1, Decimal("0.1"), Decimal("0.001"))
    _code, told = await sync_to_async(command)("--venue", venue.pk)
    assert (told["venues"][0]["created"], told["venues"][0]["unchanged"]) == (0, 2)


async def test_command_takes_a_short_list_only_when_told_to_believe_it(venue: Venue) -> None:
    for base in ("SOL", "XRP", "DOGE"):
        await sync_to_async(factories.instrument)(venue=venue, venue_symbol=f"{base}USDT")
    code, told = await sync_to_async(command)("--venue", venue.pk)
    assert (code, told["venues"][0]["created"]) == (0, 2)  # two of three is no short list
    for base in ("ADA", "LTC"):
        await sync_to_async(factories.instrument)(venue=venue, venue_symbol=f"{base}USDT")
    await Instrument.objects.aupdate(is_active=True)
    code, told = await sync_to_async(command)("--venue", venue.pk)
    assert (code, told["venues"][0]["retired"]) == (1, None)
    assert "lists 2 contracts, and 7 are known" in told["venues"][0]["error"]
    code, told = await sync_to_async(command)("--venue", venue.pk, "--believe")
    assert (code, told["venues"][0]["retired"]) == (0, 5)


def test_believing_needs_a_name() -> None:
    with pytest.raises(CommandError, match="--venue") as refusal:
        call_command("sync_instruments", "--believe")
    assert refusal.value.returncode == 2


async def test_command_fails_when_a_venue_is_out_of_reach() -> None:
    dead = await sync_to_async(factories.venue)()
    code, told = await sync_to_async(command)("--venue", dead.pk)
    assert code == 1
    assert told["venues"][0]["created"] is None
    assert told["venues"][0]["error"]
    await sync_to_async(lambda: connection.close())()


@pytest.mark.parametrize(
    ("name", "option"), [("sync_instruments", "--venue"), ("run_feeds", "--feed")]
)
def test_unknown_name_is_a_usage_error(name: str, option: str) -> None:
    with pytest.raises(CommandError, match="no-such-thing") as refusal:
        call_command(name, option, "no-such-thing")
    assert refusal.value.returncode == 2
