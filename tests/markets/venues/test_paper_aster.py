"""The paper venue's Aster: its door, its nonces and its sockets."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from controlplane.kernel.secrets import Secret
from markets.venues.aster.signing import Signer
from markets.venues.paper.config import account_config
from markets.venues.paper.server import PaperVenue
from tests.contracts.kits import KITS
from tests.markets.venues.conftest import paper_config

AGENT = "0x" + "17" * 32
OWNER = "0x" + "29" * 32


def address(key: str) -> str:
    return Signer(Secret(key), chain_id=1666).address


@pytest.fixture
async def venue() -> AsyncIterator[PaperVenue]:
    accounts = (
        account_config("agent", address(OWNER), address(AGENT), Decimal(100_000)),
        account_config("own", address("0x" + "31" * 32), address(AGENT), Decimal(100)),
    )
    async with PaperVenue.start(paper_config(dialect="aster", accounts=accounts)) as running:
        yield running


class Caller:
    def __init__(self, http: aiohttp.ClientSession, venue: PaperVenue) -> None:
        self._http = http
        self._url = venue.rest_url

    async def send(
        self,
        method: str = "GET",
        path: str = "/fapi/v3/openOrders",
        *,
        key: str = AGENT,
        nonce: int | None = None,
        spoil: str = "",
        **params: str,
    ) -> tuple[int, Any]:
        sent = {
            "nonce": str(nonce if nonce is not None else time.time_ns() // 1000),
            "user": address(OWNER),
            "signer": address(key),
            **params,
        }
        message = urlencode({name: value for name, value in sent.items() if value})
        signature = Signer(Secret(key), chain_id=1666).sign(message)
        text = f"{message}{spoil}&signature={signature}"
        url, data = (
            (f"{self._url}{path}?{text}", None) if method == "GET" else (self._url + path, text)
        )
        async with self._http.request(
            method, url, data=data, headers={"Content-Type": "application/x-www-form-urlencoded"}
        ) as answer:
            body = await answer.json()
            return answer.status, body.get("code") if isinstance(body, dict) else body


@pytest.fixture
async def caller(venue: PaperVenue) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(http, venue)


async def test_agent_and_owner_may_both_sign(caller: Caller) -> None:
    assert await caller.send() == (200, [])
    assert await caller.send(key=OWNER) == (200, [])


async def test_the_door_says_what_is_wrong(caller: Caller) -> None:
    assert await caller.send(spoil="&x=1") == (400, -1022)
    assert await caller.send(key="0x" + "55" * 32) == (401, -2015)
    assert await caller.send(user="0x" + "0" * 40) == (401, -2015)
    assert await caller.send(user="") == (400, -1102)
    # Signed by the agent, but said to be by the owner.
    assert await caller.send(signer=address(OWNER)) == (400, -1022)


async def test_a_nonce_works_once_within_ten_seconds(caller: Caller) -> None:
    now = time.time_ns() // 1000
    assert await caller.send(nonce=now) == (200, [])
    assert await caller.send(nonce=now) == (400, -1021)
    assert await caller.send(nonce=now + 20_000_000) == (400, -1021)
    assert await caller.send(nonce=now - 20_000_000) == (400, -1021)
    assert await caller.send(nonce=now - 1_000_000) == (200, [])


async def test_a_nonce_older_than_the_hundred_kept_has_expired(caller: Caller) -> None:
    now = time.time_ns() // 1000
    for step in range(100):
        assert (await caller.send(nonce=now + step))[0] == 200
    assert await caller.send(nonce=now - 1) == (400, -1021)
    assert (await caller.send(nonce=now + 100))[0] == 200


async def test_sockets_are_unrouted_and_unknown_keys_are_refused(venue: PaperVenue) -> None:
    async with aiohttp.ClientSession() as http:
        streams = "btcusdt@bookTicker/btcusdt@markPrice@1s"
        for path in (f"/ws/{streams}", f"/fstream/stream?streams={streams}"):
            async with http.ws_connect(venue.ws_url + path) as socket:
                venue.core.jump("BTCUSDT", Decimal(62_000))
                said = {await socket.receive_str(timeout=3) for _ in range(2)}
            assert {"bookTicker" in text for text in said} == {True, False}
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{venue.ws_url}/ws/nosuchkey")


def test_the_kit_names_the_agent_by_its_address() -> None:
    kit = KITS["aster"]()
    assert kit.known_as[1].startswith("0x")
    assert len(kit.known_as[1]) == 42
