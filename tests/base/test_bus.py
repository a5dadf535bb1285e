"""Messages follow the transaction, cross processes and survive a lost connection."""

import asyncio
import os
import queue
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connection, transaction

from controlplane import bus

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parent.parent.parent
SENDER = """
import json, sys, django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from controlplane import bus
bus.send("feeds", "feed.changed", feed_id="from-another-process")
"""
LISTENING = """
import os, signal, sys, django
signal.alarm(60)
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from controlplane import bus
def say(what):
    os.write(1, f"{name} {what}\\n".encode())
listener = bus.Listener(
    "bans", heard=lambda message: say(message["key"]), connected=lambda: say("listens")
)
name = "parent"
listener.ensure()
input()
child = os.fork()
if child:
    input()
    os.waitpid(child, 0)
else:
    signal.alarm(60)
    name = "child"
    listener.ensure()
    while os.read(int(sys.argv[2]), 1):
        pass
    listener.close()
    os._exit(0)
"""
NOISE = ("no json", "[]", '"text"', "1", '{"type": "no.group"}', '{"group": "a b", "type": "x"}')


class Member:
    """A member of one group, as a consumer is."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.layer = get_channel_layer()
        self.channel = ""

    async def join(self) -> None:
        self.channel = await self.layer.new_channel()
        await self.layer.group_add(self.group, self.channel)

    async def receive(self, seconds: float = 5) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            message: dict[str, Any] = await self.layer.receive(self.channel)
            return message

    async def hears_nothing(self) -> bool:
        with suppress(TimeoutError):
            await self.receive(0.3)
            return False
        return True


@pytest_asyncio.fixture
async def member() -> AsyncIterator[Member]:
    listener = bus.ensure_listening()
    one = Member("feeds")
    await one.join()
    await wait_for_listeners(1)
    yield one
    listener.cancel()
    with suppress(asyncio.CancelledError):
        await listener
    await sync_to_async(lambda: connection.close())()  # the worker thread's own


async def wait_for_listeners(number: int, other_than: int = 0) -> int:
    for _ in range(100):
        pids = await sync_to_async(listening_backends)()
        if len(pids) == number and other_than not in pids:
            return pids[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"{pids} listen")


def listening_backends() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle' AND query = %s",
            [f"LISTEN {bus.CHANNEL}"],
        )
        return [pid for (pid,) in cursor.fetchall()]


@sync_to_async
def send(feed_id: str, *, roll_back: bool = False) -> None:
    with transaction.atomic():
        bus.send("feeds", "feed.changed", feed_id=feed_id)
        transaction.set_rollback(roll_back)


async def test_message_of_a_commit_arrives_and_of_a_rollback_never(member: Member) -> None:
    await send("rolled-back", roll_back=True)
    await send("committed")
    assert await member.receive() == {"type": "feed.changed", "feed_id": "committed"}
    assert await member.hears_nothing()


async def test_message_waits_for_the_commit(member: Member) -> None:
    opened, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold_open() -> None:
        with transaction.atomic():
            bus.send("feeds", "feed.changed", feed_id="late")
            loop.call_soon_threadsafe(opened.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(5)

    sending = asyncio.create_task(sync_to_async(hold_open)())
    await opened.wait()
    assert await member.hears_nothing()
    go_on.set()
    assert (await member.receive())["feed_id"] == "late"
    await sending


async def test_message_reaches_other_processes(member: Member) -> None:
    name = await sync_to_async(lambda: connection.settings_dict["NAME"])()
    sender = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SENDER, name), cwd=ROOT, stderr=subprocess.PIPE
    )
    _, errors = await sender.communicate()
    assert sender.returncode == 0, errors
    assert (await member.receive())["feed_id"] == "from-another-process"


async def test_listener_comes_back_after_its_connection_is_cut(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "RECONNECT_SECONDS", 0.05)
    backend = (await sync_to_async(listening_backends)())[0]

    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [backend])

    await sync_to_async(cut)()
    await wait_for_listeners(1, other_than=backend)
    await send("after-the-cut")
    assert (await member.receive())["feed_id"] == "after-the-cut"


async def test_strangers_message_is_dropped_and_the_listener_lives(member: Member) -> None:
    def disturb() -> None:
        with connection.cursor() as cursor:
            for payload in NOISE:
                cursor.execute("SELECT pg_notify(%s, %s)", [bus.CHANNEL, payload])

    await sync_to_async(disturb)()
    await send("after-the-noise")
    assert (await member.receive())["feed_id"] == "after-the-noise"


def test_oversized_message_is_refused_and_spoils_no_transaction() -> None:
    with transaction.atomic():
        with pytest.raises(ValueError, match="carries ids"):
            bus.send("feeds", "feed.changed", feed_id="é" * 2000)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


Heard = tuple[bus.Listener, "queue.Queue[str]"]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """A listener on a thread, and what it says."""
    said: queue.Queue[str] = queue.Queue()
    listener = bus.Listener(
        "bans",
        heard=lambda message: said.put(message["key"]),
        connected=lambda: said.put("connected"),
    )
    listener.ensure()
    listener.ensure()
    assert said.get(timeout=30) == "connected"
    yield listener, said
    listener.close()


def test_a_thread_hears_its_group_and_says_when_it_may_have_missed_something(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "RECONNECT_SECONDS", 0.05)
    _listener, said = heard
    bus.send("feeds", "feed.changed", key="another group's")
    with connection.cursor() as cursor:
        for payload in (*NOISE, '{"group": "bans"}'):
            cursor.execute("SELECT pg_notify(%s, %s)", [bus.CHANNEL, payload])
    bus.send("bans", "ban.told", key="first")
    assert said.get(timeout=30) == "first"
    (backend,) = listening_backends()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
    assert said.get(timeout=30) == "connected"
    bus.send("bans", "ban.told", key="second")
    assert said.get(timeout=30) == "second"


def test_a_closed_listener_leaves_no_connection_and_may_begin_anew(heard: Heard) -> None:
    listener, said = heard
    assert len(listening_backends()) == 1
    listener.close()
    listener.close()
    until_nobody_listens()
    listener.ensure()
    assert said.get(timeout=30) == "connected"
    bus.send("bans", "ban.told", key="again")
    assert said.get(timeout=30) == "again"


def test_a_forked_child_listens_on_a_connection_of_its_own_and_both_end_cleanly() -> None:
    end, hold = os.pipe()
    arguments = [sys.executable, "-c", LISTENING, connection.settings_dict["NAME"], str(end)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True, pass_fds=[end]
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "parent listens\n"
        print(file=parent.stdin, flush=True)
        assert parent.stdout.readline() == "child listens\n"
        bus.send("bans", "ban.told", key="told")
        told = [parent.stdout.readline(), parent.stdout.readline()]
        assert sorted(told) == ["child told\n", "parent told\n"]
        os.close(hold)
        _, errors = parent.communicate("\n", timeout=60)
    os.close(end)
    assert (parent.returncode, errors) == (0, "")
    until_nobody_listens()


def until_nobody_listens() -> None:
    for _ in range(200):
        if not listening_backends():
            return
        time.sleep(0.05)
    raise AssertionError("Somebody still listens.")
