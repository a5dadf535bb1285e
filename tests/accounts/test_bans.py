"""Bans of venues: told by whoever meets one, known to every process before it sends."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web
from django.db import connection

from accounts import egress
from markets import bans
from markets.bans import BanBoard
from markets.models import VenueBan
from markets.venues.errors import RateLimited
from markets.venues.ratelimit.limiter import Limiter
from markets.venues.ratelimit.terms import Cost, Kind, Limit, Scope, Terms
from tests.accounts.paper import Paper, paper_venue

ASKING = """
import sys
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from accounts import egress
from accounts.models import ExchangeAccount
from markets.venues.errors import VenueError
for line in sys.stdin:
    account = ExchangeAccount.objects.for_sync().get(pk=line.strip())
    try:
        client = egress.execution_client(account)
        egress.run(client.balance())
        print("answered", flush=True)
    except VenueError as error:
        print(error.code, flush=True)
"""


SENDING = """
import sys
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from accounts import egress
from accounts.models import ExchangeAccount
from markets.venues.errors import RateLimited, VenueError
from markets.venues.ratelimit import limiter
limiter.NEWS_NS = 10**18  # the table is read once: what comes later is heard, or not at all
client = egress.execution_client(ExchangeAccount.objects.for_sync().get(pk=input()))
egress.run(client.positions())
print("sending", flush=True)
while True:
    try:
        egress.run(client.positions())
    except RateLimited as error:
        if error.retry_after > 60:  # not for a minute that is full
            break
print("banned", flush=True)
for _attempt in range(50):
    try:
        egress.run(client.positions())
        print("sent", flush=True)
    except VenueError:
        pass
print("held", flush=True)
"""


class Process:
    """Another process of ours, which does what it is told on its standard input."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self._child = child

    def ask(self, account_id: str) -> str:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{account_id}\n")
        self._child.stdin.flush()
        return self.said()

    def said(self, within: float = 60.0) -> str:
        """Return its next line; what says nothing for so long is killed and fails the test."""
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], within)
        if not ready:
            self._child.kill()
            raise AssertionError(f"Not a word for {within} s.")
        return self._child.stdout.readline().strip()


@contextmanager
def process(script: str = ASKING) -> Iterator[Process]:
    child = subprocess.Popen(
        [sys.executable, "-c", script, connection.settings_dict["NAME"]],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(child)
    finally:
        child.communicate(timeout=60)


async def ban(_request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {"code": -1003, "msg": "Way too many requests; IP banned."},
        status=418,
        headers={"Retry-After": "120"},
    )


def test_a_ban_that_one_process_met_keeps_every_process_away(live_paper: Paper) -> None:
    live_paper.account("alpha")
    with (
        paper_venue(labels=("beta",)) as elsewhere,
        process() as first,
        process() as second,
    ):
        elsewhere.account("beta")
        assert (first.ask("alpha"), second.ask("alpha")) == ("answered", "answered")

        live_paper.gateway.faults["GET", "/fapi/v3/account"] = ban
        assert first.ask("alpha") == "rate_limited"
        live_paper.gateway.faults.clear()
        reached = len(live_paper.gateway.requests)

        for _attempt in range(10):
            assert (first.ask("alpha"), second.ask("alpha")) == ("rate_limited", "rate_limited")
        assert len(live_paper.gateway.requests) == reached
        assert (first.ask("beta"), second.ask("beta")) == ("answered", "answered")
        with process() as third:  # started within the ban
            assert third.ask("alpha") == "rate_limited"
        assert len(live_paper.gateway.requests) == reached


def test_a_process_that_sends_without_a_pause_hears_of_a_ban_at_its_commit(
    live_paper: Paper,
) -> None:
    live_paper.account("alpha")
    with process() as first, process(SENDING) as second:
        assert first.ask("alpha") == "answered"
        assert second.ask("alpha") == "sending"

        live_paper.gateway.faults["GET", "/fapi/v3/account"] = ban
        assert first.ask("alpha") == "rate_limited"
        live_paper.gateway.faults.clear()
        assert second.said() == "banned"  # no answer told it: what it asks for is not refused
        reached = len(live_paper.gateway.requests)
        assert second.said() == "held"
        assert len(live_paper.gateway.requests) == reached


@pytest.mark.django_db
def test_the_way_the_reason_and_the_end_of_a_ban_are_kept() -> None:
    bans.ban_post(key="venue direct", seconds=60, reason="-1003 signature=abcdef")
    bans.ban_post(key="venue direct", seconds=10, reason="shorter")
    bans.ban_post(key="over", seconds=0, reason="")
    assert bans.bans_left() == {"venue direct": 60}
    row = VenueBan.objects.get(pk="venue direct")
    assert "abcdef" not in row.reason
    assert row.reason.startswith("-1003")


@pytest.mark.django_db(transaction=True)
def test_a_ban_whose_message_is_lost_is_heard_of_within_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bans.LISTENER, "ensure", lambda: None)
    now_ns = 1
    made = Limiter(clock=lambda: now_ns)
    made.share(BanBoard(), processes=2)
    gate = made.gate(
        "venue",
        exit_name="direct",
        account=None,
        terms=Terms((Limit(Scope.EXIT, 100, 60),)),
    )

    async def send() -> None:
        await (await gate.enter(Cost(Kind.READ, 1))).answered(200, ())

    egress.run(send())
    bans.ban_post(key="venue direct", seconds=60, reason="")
    egress.run(send())  # heard a moment ago, so not asked again yet
    now_ns += 1_000_000_000
    with pytest.raises(RateLimited):
        egress.run(send())
