"""Quotes to people and programs: who may, how they are numbered, and who is cut."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator as Socket
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from knox.models import AuthToken
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from controlplane.routing import websocket_application
from controlplane.supervision import programs
from controlplane.supervision.programs import free_port
from markets import sockets
from markets.domain.conflation import UNDER_WAY, Conflation
from markets.models import MarketDataFeed, Quote
from tests import factories
from tests.markets.feeds.running import until

# Pacing, without sockets


def test_changes_are_gathered_and_sent_at_the_listeners_rate() -> None:
    pace = Conflation(per_second=2)
    assert pace.take(0.0) == set()
    assert pace.sent(0.0) == 1
    pace.change({"a"})
    pace.change({"a", "b"})
    assert pace.take(0.4) == set()
    assert pace.take(0.5) == {"a", "b"}
    assert pace.sent(0.5) == 2
    assert pace.take(9.0) == set()


def test_no_more_is_under_way_than_the_listener_takes() -> None:
    pace = Conflation(per_second=10)
    for second in range(UNDER_WAY):
        pace.change({"a"})
        assert pace.take(second) == {"a"}
        pace.sent(second)
    pace.change({"b"})
    assert pace.take(99) == set()
    assert pace.silent_for(99) == 99
    assert pace.acknowledge(3, 99)
    assert (pace.silent_for(99.5), pace.take(99)) == (0.5, {"b"})
    assert pace.acknowledge(UNDER_WAY, 100)
    assert pace.silent_for(200) == 0
    assert not pace.acknowledge(UNDER_WAY + 1, 100)
    assert not pace.acknowledge(0, 100)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.booleans()), max_size=60))
def test_what_changed_is_sent_in_the_end_and_numbers_have_no_gap(
    steps: list[tuple[str, float, bool]],
) -> None:
    pace, now, numbers = Conflation(per_second=5), 0.0, []
    waiting: set[str] = set()
    for key, pause, speaks in steps:
        now += pause
        pace.change({key})
        waiting.add(key)
        if taken := pace.take(now):
            assert taken == waiting
            waiting = set()
            numbers.append(pace.sent(now))
        if speaks and numbers:
            pace.acknowledge(numbers[-1], now)
        assert pace.under_way <= UNDER_WAY
    if numbers:
        pace.acknowledge(numbers[-1], now)
    assert pace.take(now + 1) == waiting
    assert numbers == list(range(1, len(numbers) + 1))


# Sockets


@pytest.fixture(autouse=True)
def _nobody_counted() -> Iterator[None]:
    sockets._sockets.clear()
    yield
    sockets._sockets.clear()


ROOT = Path(__file__).resolve().parents[2]


def person(*permissions: str, name: str = "reader") -> User:
    user = User.objects.create_user(name, password="a-long-password")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def with_token(user: User) -> Socket:
    _, token = AuthToken.objects.create(user=user)
    return bare(headers=[(b"authorization", f"Token {token}".encode())])


def with_session(user: User, *, origin: str = "http://localhost") -> Socket:
    client = Client()
    client.force_login(user)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return Socket(
        websocket_application(),
        "/ws/quotes/",
        headers=[
            (b"cookie", cookies.encode()),
            (b"host", b"localhost"),
            (b"origin", origin.encode()),
        ],
    )


def quoted(bid: str = "100", **fields: Any) -> MarketDataFeed:
    feed = factories.feed(status="healthy", **fields)
    price(feed, bid)
    return feed


def price(feed: MarketDataFeed, bid: str) -> None:
    now = timezone.now()
    Quote.objects.update_or_create(
        feed=feed,
        defaults={
            "bid": Decimal(bid),
            "ask": Decimal(bid) + 1,
            "bid_size": 1,
            "ask_size": 2,
            "venue_at": now,
            "received_at": now,
            "sequence": 1,
        },
    )


async def said(socket: Socket, kind: str) -> dict[str, Any]:
    """Return the next message, which must be of this kind."""
    message: dict[str, Any] = await socket.receive_json_from(timeout=20)
    assert message["type"] == kind, message
    return message


async def code_of(socket: Socket) -> int:
    """Return the code with which the socket is closed; passes over what is said before."""
    for _ in range(100):
        output = await socket.receive_output(timeout=20)
        if output["type"] == "websocket.close":
            return int(output["code"])
    raise AssertionError("not closed")


@asynccontextmanager
async def listening(
    made: Callable[..., Socket], *permissions: str, **subscribe: Any
) -> AsyncIterator[tuple[Socket, dict[str, Any]]]:
    user = await sync_to_async(person)(*(permissions or ("view_quote",)))
    socket = await sync_to_async(made)(user)
    assert (await socket.connect(timeout=20))[0]
    await socket.send_json_to({"type": "subscribe", "id": "s", "maxPerSecond": 10, **subscribe})
    try:
        yield socket, await socket.receive_json_from(timeout=20)
    finally:
        await socket.disconnect()
        await until(sockets.quote_tap().is_idle)
        await sync_to_async(lambda: connection.close())()


SERVE = """
import sys, django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from controlplane.supervision.programs import serve
serve(host="127.0.0.1", port=int(sys.argv[2]))
"""


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """Run the web program and yield the address of its quotes."""
    port = free_port("127.0.0.1", 0)
    name = str(connection.settings_dict["NAME"])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVE,
        name,
        str(port),
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    try:
        await until(lambda: programs._is_served("127.0.0.1", port), seconds=60)
        yield f"ws://127.0.0.1:{port}/ws/quotes/"
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


transactional = pytest.mark.django_db(transaction=True)


@transactional
@pytest.mark.parametrize("made", [with_token, with_session])
async def test_a_snapshot_and_numbered_changes_follow(made: Callable[..., Socket]) -> None:
    one = await sync_to_async(quoted)("100.50")
    other = await sync_to_async(quoted)("7", symbol="ETH")
    async with listening(made, feeds=[one.pk]) as (socket, snapshot):
        assert (snapshot["type"], snapshot["id"], snapshot["sequence"]) == ("snapshot", "s", 1)
        [quote] = snapshot["quotes"]
        assert (quote["feedId"], quote["symbol"], quote["status"]) == (one.pk, "BTC", "healthy")
        assert (quote["bid"], quote["ask"], quote["mark"]) == ("100.5", "101.5", None)
        await sync_to_async(price)(other, "8")
        await sync_to_async(price)(one, "101")
        delta = await said(socket, "delta")
        assert (delta["sequence"], delta["removed"]) == (2, [])
        assert [(q["feedId"], q["bid"]) for q in delta["quotes"]] == [(one.pk, "101")]
        # A status is told too: a price that stopped moving must not look alive.
        await MarketDataFeed.objects.filter(pk=one.pk).aupdate(status="degraded")
        delta = await said(socket, "delta")
        assert (delta["sequence"], delta["quotes"][0]["status"]) == (3, "degraded")
        await MarketDataFeed.objects.filter(pk=one.pk).aupdate(is_enabled=False)
        delta = await said(socket, "delta")
        assert (delta["quotes"], delta["removed"]) == ([], [one.pk])
        # The same id again begins anew.
        await socket.send_json_to({"type": "subscribe", "id": "s", "symbols": ["ETH"]})
        again = await said(socket, "snapshot")
        assert (again["sequence"], [q["bid"] for q in again["quotes"]]) == (1, ["8"])
        await socket.send_json_to({"type": "unsubscribe", "id": "s"})
        await said(socket, "unsubscribed")


@transactional
async def test_who_is_not_signed_in_or_may_not_see_quotes_hears_nothing() -> None:
    user = await sync_to_async(person)("view_marketdatafeed")
    for socket, code in (
        (await sync_to_async(with_token)(user), sockets.FORBIDDEN),
        (await sync_to_async(with_session)(user), sockets.FORBIDDEN),
        (bare(headers=[(b"authorization", b"Token nonsense")]), sockets.SIGNED_OUT),
        (bare(headers=[(b"authorization", b"\xff")]), sockets.SIGNED_OUT),
        (bare(headers=[(b"origin", b"http://localhost")]), sockets.SIGNED_OUT),
    ):
        await socket.connect(timeout=20)
        assert await code_of(socket) == code
    await sync_to_async(lambda: connection.close())()


def bare(*, headers: list[tuple[bytes, bytes]], query: str = "") -> Socket:
    return Socket(
        websocket_application(), f"/ws/quotes/{query}", headers=[(b"host", b"localhost"), *headers]
    )


@transactional
async def test_a_token_in_the_address_is_not_read_and_a_foreign_origin_is_refused() -> None:
    user = await sync_to_async(person)("view_quote")
    _, token = await sync_to_async(AuthToken.objects.create)(user=user)
    socket = bare(headers=[(b"origin", b"http://localhost")], query=f"?token={token}")
    await socket.connect(timeout=20)
    assert await code_of(socket) == sockets.SIGNED_OUT
    foreign = await sync_to_async(with_session)(user, origin="http://evil.example")
    assert not (await foreign.connect(timeout=20))[0]
    await sync_to_async(lambda: connection.close())()


@transactional
@pytest.mark.parametrize("ending", ["token", "permission", "user"])
async def test_who_may_no_longer_listen_is_cut_while_connected(
    monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(sockets, "SIGNED_IN_SECONDS", 0.1)
    async with listening(with_token) as (socket, _snapshot):
        user = await User.objects.aget(username="reader")
        if ending == "token":
            await AuthToken.objects.all().adelete()
        elif ending == "permission":
            await sync_to_async(user.user_permissions.clear)()
        else:
            await User.objects.filter(pk=user.pk).aupdate(is_active=False)
        assert await code_of(socket) == sockets.SIGNED_OUT


@transactional
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{not json", "malformed"),
        ("[" * 5000, "malformed"),
        ("null", "malformed"),
        ('{"type":"order","id":"s"}', "invalid"),
        ('{"type":"subscribe"}', "invalid"),
        ('{"type":"subscribe","id":""}', "invalid"),
        ('{"type":"subscribe","id":"x","feeds":"*"}', "invalid"),
        ('{"type":"subscribe","id":"x","feeds":[]}', "invalid"),
        ('{"type":"subscribe","id":"x","feeds":["feeds"]}', "unknown_feed"),
        ('{"type":"subscribe","id":"x","feeds":["*"]}', "unknown_feed"),
        ('{"type":"subscribe","id":"x","maxPerSecond":11}', "invalid"),
        ('{"type":"subscribe","id":"x","maxPerSecond":0}', "invalid"),
        ('{"type":"subscribe","id":"x","maxPerSecond":NaN}', "invalid"),
        ('{"type":"subscribe","id":"x","maxPerSecond":true}', "invalid"),
        ('{"type":"unsubscribe","id":"x"}', "unknown_subscription"),
        ('{"type":"ack","id":"s","sequence":2}', "invalid"),
        ('{"type":"ack","id":"s","sequence":"1"}', "invalid"),
    ],
)
async def test_what_cannot_be_done_is_an_error_and_the_socket_goes_on(
    message: str, code: str
) -> None:
    async with listening(with_token) as (socket, _snapshot):
        await socket.send_to(text_data=message)
        error = await said(socket, "error")
        assert error["code"] == code
        assert error["message"]
        await socket.send_json_to({"type": "unsubscribe", "id": "s"})
        assert (await said(socket, "unsubscribed"))["id"] == "s"


@transactional
async def test_binary_frames_say_nothing_and_large_or_many_messages_end_the_socket() -> None:
    async with listening(with_token) as (socket, _snapshot):
        await socket.send_to(bytes_data=b"\x00\xff")
        assert (await said(socket, "error"))["code"] == "malformed"
        await socket.send_to(text_data=" " * (sockets.MAX_MESSAGE + 1))
        assert await code_of(socket) == sockets.TOO_LARGE


@transactional
async def test_a_flood_of_messages_ends_the_socket() -> None:
    async with listening(with_token) as (socket, _snapshot):
        for _ in range(sockets.MESSAGES_PER_SECOND * 3):
            await socket.send_to(text_data="{}")
        assert await code_of(socket) == sockets.TOO_MANY


@transactional
async def test_sockets_of_a_user_and_subscriptions_of_a_socket_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "SOCKETS_PER_USER", 2)
    monkeypatch.setattr(sockets, "SUBSCRIPTIONS", 2)
    async with listening(with_token) as (socket, _snapshot):
        for name, kind in (("b", "snapshot"), ("c", "error"), ("b", "snapshot")):
            await socket.send_json_to({"type": "subscribe", "id": name})
            assert (await said(socket, kind))["id"] == name
        user = await User.objects.aget(username="reader")
        second = await sync_to_async(with_token)(user)
        await second.connect(timeout=20)
        third = await sync_to_async(with_token)(user)
        await third.connect(timeout=20)
        assert (await said(third, "error"))["code"] == "too_many_sockets"
        assert await code_of(third) == sockets.TOO_MANY
        await second.disconnect()
        fourth = await sync_to_async(with_token)(user)
        await fourth.connect(timeout=20)
        await fourth.send_json_to({"type": "subscribe", "id": "s"})
        await said(fourth, "snapshot")
        await fourth.disconnect()


@transactional
async def test_a_stalled_listener_is_cut_and_the_others_hear_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "ACKNOWLEDGED_SECONDS", 4.0)
    feed = await sync_to_async(quoted)()
    async with listening(with_token) as (lively, _snapshot):
        user = await User.objects.aget(username="reader")
        stalled = await sync_to_async(with_token)(user)
        await stalled.connect(timeout=20)
        await stalled.send_json_to({"type": "subscribe", "id": "s", "maxPerSecond": 10})
        closed = asyncio.create_task(code_of(stalled))
        sequence, number = 1, 100
        while not closed.done():
            await lively.send_json_to({"type": "ack", "id": "s", "sequence": sequence})
            number += 1
            await sync_to_async(price)(feed, str(number))
            sequence = (await said(lively, "delta"))["sequence"]
        assert closed.result() == sockets.TOO_SLOW
        await stalled.disconnect()
        await lively.send_json_to({"type": "ack", "id": "s", "sequence": sequence})
        await sync_to_async(price)(feed, "5")
        assert (await said(lively, "delta"))["quotes"][0]["bid"] == "5"
    assert sockets._sockets[user.pk] == 0


@transactional
async def test_over_a_real_socket_a_huge_frame_ends_its_own_socket_only() -> None:
    feed = await sync_to_async(quoted)("100")
    user = await sync_to_async(person)("view_quote")
    _, token = await sync_to_async(AuthToken.objects.create)(user=user)
    headers = {"Authorization": f"Token {token}"}
    subscribe = json.dumps({"type": "subscribe", "id": "s", "maxPerSecond": 10})
    async with served() as address, asyncio.timeout(60):
        async with connect(address, additional_headers=headers) as good:
            await good.send(subscribe)
            assert json.loads(await good.recv())["quotes"][0]["bid"] == "100"
            async with connect(address, additional_headers=headers) as bad:
                await bad.send(subscribe)
                await bad.recv()
                with suppress(ConnectionClosed):
                    await bad.send("x" * 10_000_000)
                await bad.wait_closed()
                # Cut while it still sends, the peer may not get to read why.
                assert bad.close_code in (sockets.TOO_LARGE, 1006)
            await sync_to_async(price)(feed, "101")
            delta = json.loads(await good.recv())
            assert (delta["type"], delta["sequence"]) == ("delta", 2)
            assert delta["quotes"][0]["bid"] == "101"
        async with connect(address, additional_headers={"Authorization": "Token no"}) as nobody:
            await nobody.wait_closed()
            assert nobody.close_code == sockets.SIGNED_OUT
