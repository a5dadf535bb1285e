"""The command as people use it, rightly and wrongly."""

import json
import os
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection

from markets.management.commands import record_feed
from markets.models import MarketDataFeed
from markets.venues.paper.capture import read_capture
from markets.venues.paper.server import PaperVenue
from tests import factories
from tests.markets.venues.conftest import paper_config

pytestmark = pytest.mark.django_db(transaction=True)


@pytest_asyncio.fixture
async def feed() -> AsyncIterator[MarketDataFeed]:
    """A feed of a running venue."""
    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        yield await sync_to_async(factories.feed)(exchange=row)
    await sync_to_async(lambda: connection.close())()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("record_feed", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as refusal:
        run(*arguments)
    return refusal.value.returncode, str(refusal.value)


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in a thread here, where no signal can be waited for."""
    monkeypatch.setattr(record_feed, "STOPS", ())


async def test_it_records_for_so_long_and_says_what_it_wrote(
    feed: MarketDataFeed, tmp_path: Path
) -> None:
    path = tmp_path / "capture.txt.gz"
    told = json.loads(
        await sync_to_async(run)(feed.pk, "--seconds", "2", "--out", str(path), "--json")
    )
    items = list(read_capture([path]))
    assert told["file"] == str(path)
    assert told["quotes"] == {feed.pk: len(items)}
    assert len(items) > 0
    assert {item.symbol for item in items} == {"BTCUSDT"}


async def test_a_full_disk_ends_it_with_a_sentence(feed: MarketDataFeed) -> None:
    code, text = await sync_to_async(refused)(feed.pk, "--seconds", "20", "--out", "/dev/full")
    assert (code, text) == (1, f"/dev/full: {os.strerror(28)}")


async def test_a_feed_nothing_is_heard_of_is_a_failure(tmp_path: Path) -> None:
    dead = await sync_to_async(factories.feed)()
    await sync_to_async(factories.instrument)(venue=dead.exchange)
    out = str(tmp_path / "capture.txt")
    code, text = await sync_to_async(refused)(dead.pk, "--seconds", "1", "--out", out)
    assert (code, text) == (1, f"No quote was heard of {dead.pk}.")
    await sync_to_async(lambda: connection.close())()


def wrong() -> dict[str, Any]:
    """Arguments that cannot be obeyed, and what is said of them."""
    known = factories.feed()
    factories.instrument(venue=known.exchange)
    unlisted = factories.feed()
    polled = factories.feed(
        exchange=factories.venue(
            dialect="generic", ccxt_id="bybit", rest_endpoint="", ws_endpoint=""
        )
    )
    factories.instrument(venue=polled.exchange)
    other = factories.feed(exchange=factories.venue(dialect="pacifica"))
    factories.instrument(venue=other.exchange)
    off = factories.feed(is_enabled=False)
    return {
        "no-such-feed": (["no-such-feed"], "There is no feed no-such-feed"),
        "off": ([off.pk], f"There is no feed {off.pk}"),
        "unlisted": ([unlisted.pk], "sync them first"),
        "polled": ([polled.pk], "no stream to record"),
        "mixed": ([known.pk, other.pk], "record Pacifica by itself"),
        "nowhere": ([known.pk, "--out", "/nowhere/capture.gz"], "No such file or directory"),
        "directory": ([known.pk, "--out", "/"], "/: "),
    }


CASES = (
    "no-such-feed",
    "off",
    "unlisted",
    "polled",
    "mixed",
    "nowhere",
    "directory",
)


@pytest.mark.parametrize("case", CASES)
def test_wrong_use_is_a_sentence_and_exit_2(case: str) -> None:
    arguments, said = wrong()[case]
    code, text = refused(*arguments)
    assert said in text
    assert code == 2


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    known = factories.feed()
    factories.instrument(venue=known.exchange)
    path = tmp_path / "capture.txt"
    path.write_text("kept")
    assert refused(known.pk, "--out", str(path))[0] == 2
    assert path.read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: FEED"),
        (["feed", "--seconds", "0"], "'0' is not a whole number"),
        (["feed", "--seconds", "soon"], "'soon' is not a whole number"),
    ],
)
def test_arguments_that_are_none_exit_2(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = record_feed.Command()
    monkeypatch.setattr(command, "_called_from_command_line", True, raising=False)
    with pytest.raises(SystemExit) as ended:
        command.create_parser("manage.py", "record_feed").parse_args(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
