"""Faults are set, listed and cleared over the control endpoint; what makes no sense is refused."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from markets.venues.paper.faults import HOOKS, MATCHES, FaultKind, camel
from markets.venues.paper.server import PaperVenue

DOCUMENT = Path(__file__).parents[3] / "docs" / "paper-venue.md"


class Control:
    def __init__(self, http: aiohttp.ClientSession, venue: PaperVenue) -> None:
        self._http = http
        self._url = f"{venue.rest_url}/control/fault"

    async def set(self, **fault: Any) -> tuple[int, Any]:
        async with self._http.post(self._url, json=fault) as answer:
            return answer.status, await answer.json()

    async def standing(self) -> list[dict[str, Any]]:
        async with self._http.get(self._url) as answer:
            found: list[dict[str, Any]] = (await answer.json())["standing"]
            return found

    async def clear(self, number: str = "") -> tuple[int, Any]:
        url = f"{self._url}/{number}" if number else self._url
        async with self._http.delete(url) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def control(venue: PaperVenue) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as http:
        yield Control(http, venue)


async def test_a_fault_is_set_listed_and_cleared_by_its_number(
    control: Control, venue: PaperVenue
) -> None:
    assert await control.set(kind="maintenance", account="alpha") == (200, {"id": 1})
    assert await control.set(kind="latency", delayMs=20, jitterMs=5, seconds=60) == (200, {"id": 2})
    one, two = await control.standing()
    assert (one["id"], one["kind"], one["fired"], one["millisecondsLeft"]) == (
        1,
        "maintenance",
        0,
        None,
    )
    assert (two["kind"], 50_000 < two["millisecondsLeft"] <= 60_000) == ("latency", True)
    assert await control.clear("1") == (200, {"cleared": 1})
    assert [item["id"] for item in await control.standing()] == [2]
    assert await control.clear() == (200, {"cleared": 1})
    assert await control.standing() == []
    cleared = [entry["faultId"] for entry in venue.ledger.since(kind="fault-cleared")]
    assert cleared == [1, 2]


async def test_a_fault_says_where_in_the_request_it_strikes(
    control: Control, venue: PaperVenue
) -> None:
    assert (await control.set(kind="reset", at="pre_accept"))[0] == 200
    assert (await control.set(kind="reset", at="post_accept_pre_reply"))[0] == 200
    assert [item.fault.accepts for item in venue.faults.standing()] == [False, True]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "tsunami"}, "kind: must be one of reset, hang"),
        ({}, "kind must be one of"),
        ({"kind": "reset", "wheels": 4}, "Unknown fields: wheels"),
        ({"kind": "reset", "status": 500}, "reset does not take status"),
        ({"kind": "reset", "at": "sometime"}, "at must be one of pre_accept"),
        ({"kind": "reset", "times": 0}, "times: must be a whole number from 1"),
        ({"kind": "reset", "times": True}, "times: must be a whole number"),
        ({"kind": "reset", "probability": "2"}, "probability: must be at most 1"),
        ({"kind": "reset", "topic": "weather"}, "topic: must be one of place"),
        ({"kind": "reset", "account": "nobody"}, "unknown account 'nobody'"),
        ({"kind": "reset", "symbol": "DOGE"}, "unknown symbol 'DOGE'"),
        ({"kind": "reset", "order": "stop"}, "order: must be one of market"),
        ({"kind": "mid_reply"}, "mid_reply needs size"),
        ({"kind": "ban", "status": 500, "seconds": 3}, "status of a ban must be"),
        ({"kind": "ban", "status": 429}, "ban needs seconds"),
        ({"kind": "refuse", "reason": "mood"}, "reason: must be one of"),
        ({"kind": "maintenance", "topic": "orders"}, "maintenance never befalls orders"),
        ({"kind": "query_lag", "lagSeconds": "NaN"}, "lagSeconds"),
        ({"kind": "ws_drop", "code": 99}, "code: must be a whole number from 1000"),
        ({"kind": "clock_offset"}, "clock_offset needs offsetMs"),
        ({"kind": "liquidation", "account": "beta", "symbol": "BTC"}, "beta holds no BTCUSDT"),
        (
            {"kind": "adl", "account": "alpha", "symbol": "BTC", "factor": "0.0001"},
            "that share of BTCUSDT is less than 0.001",
        ),
        ({"kind": "adl", "account": "alpha", "symbol": "BTC", "factor": 3}, "factor must be above"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_with_its_field(
    control: Control, fault: dict[str, Any], said: str
) -> None:
    status, answer = await control.set(**fault)
    assert (status, answer["error"].startswith(said)) == (400, True), answer
    assert await control.standing() == []


async def test_a_fault_is_cleared_by_number_only(control: Control) -> None:
    assert (await control.clear("first"))[0] == 400
    assert await control.clear("77") == (200, {"cleared": 0})


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_is_in_the_table_and_in_the_document(kind: FaultKind) -> None:
    hook = HOOKS[kind]
    row = re.search(rf"^\| `{kind}` \|(.*)$", DOCUMENT.read_text(), re.MULTILINE)
    assert row is not None
    named = set(re.findall(r"`(\w+)`", row[1]))
    assert {camel(name) for name in hook.needs | hook.takes} <= named
    assert hook.needs <= hook.takes
    assert hook.says
    assert hook.stage in MATCHES
