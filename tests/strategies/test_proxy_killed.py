"""A proxy killed with kill -9 while orders of several accounts go through it: nothing is lost."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest
from django.db import close_old_connections, connections
from django_q.models import OrmQ

from accounts import checking, proxies
from accounts.jobs import CheckProxies
from accounts.models import AccountState, ExchangeAccount, ProxyProfile, ProxySession
from accounts.services import account_sync
from controlplane.base import jobs
from controlplane.demo import check
from controlplane.demo.layout import DemoVenue, demo_layout
from controlplane.sentinel import Sentinel
from markets.venues.paper.config import account_config
from markets.venues.paper.faults import Fault, FaultKind
from strategies import execution
from strategies.models import OrderIntent
from tests import factories
from tests.proxies import Door, RunningProxy, socks_proxy
from tests.strategies.conftest import Stage, VenueThread, stage

LABELS = ("alpha", "beta", "gamma")
BEFORE = 6
"""Orders that have gone through whole when the proxy is to die."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY_SECONDS", 0.05)


@pytest.fixture
def paper() -> Iterator[VenueThread]:
    accounts = tuple(
        account_config(label, f"{label}-key", f"{label}-secret", Decimal(100_000))
        for label in LABELS
    )
    with VenueThread(accounts=accounts, control=True) as venue:
        yield venue


@pytest.fixture
def door(paper: VenueThread) -> Iterator[Door]:
    made = Door()
    asyncio.run_coroutine_threadsafe(made.open(paper.venue.port), paper._loop).result(10)
    yield made
    paper._loop.call_soon_threadsafe(made.close)


def stages(door: Door, profile: ProxyProfile, session: ProxySession) -> list[Stage]:
    """Return a stage per account, all at one venue and all behind one session."""
    first = stage(
        f"http://127.0.0.1:{door.port}",
        proxy_profile=profile,
        proxy_session=session,
        exchange="paper-binance",
        account_id=LABELS[0],
    )
    ExchangeAccount.objects.update(api_key="alpha-key", api_secret="alpha-secret")
    made = [first]
    for label in LABELS[1:]:
        other = factories.account(
            exchange=first.account.exchange,
            account_id=label,
            api_key=f"{label}-key",
            api_secret=f"{label}-secret",
            proxy_profile=profile,
            proxy_session=session,
        )
        known = AccountState.objects.get(account=first.account)
        AccountState.objects.filter(account=other).update(
            positions_at=known.positions_at,
            reconciled_at=known.reconciled_at,
            equity=known.equity,
        )
        made.append(replace(first, account=other))
    return made


def send(made: Stage, lots: int) -> OrderIntent:
    """Send an order of its own size: the same one twice in a second is a slip."""
    intent = made.wish(amount=lots * Decimal("0.001"))
    execution.intent_submit(intent_id=intent.pk, actor=made.actor)
    intent.refresh_from_db()
    return intent


def send_until_lost(made: Stage) -> list[OrderIntent]:
    """Send orders one after another until one does not come back filled, and one more."""
    sent: list[OrderIntent] = []
    try:
        while len(sent) < 2 or sent[-2].state == "filled":
            sent.append(send(made, 1 + len(sent) % 60))
    finally:
        connections.close_all()
    return sent


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


def run_queued(job: type[jobs.JobRunner]) -> int:
    """Do what is queued for one job, as a worker would."""
    rows = [row for row in OrmQ.objects.all() if row.task["args"][0] == job.name]
    for row in rows:
        jobs.execute(job.name, row.task["args"][1])
        row.delete()
    return len(rows)


def at_venue(paper: VenueThread) -> DemoVenue:
    """Return the venue as the demo's check knows it."""
    return replace(demo_layout(lambda _host: paper.venue.port).venues[0], accounts=())


def test_proxy_killed_under_orders_loses_none_and_sends_none_twice_or_directly(
    transactional_db: None, paper: VenueThread, door: Door
) -> None:
    profile = ProxyProfile.objects.create(profile_id="pool", name="Pool", scheme="socks5")
    with socks_proxy("127.0.0.2") as first, socks_proxy("127.0.0.3") as second:
        dying, spare = first.session(profile), second.session(profile)
        made = stages(door, profile, dying)
        lost = sent_while_killed(paper, door, first, made)
        assert {intent.proxy_session for intent in lost} == {dying}

        # What follows a failed request: a check, which takes the session out of use.
        assert run_queued(CheckProxies) > 0
        dying.refresh_from_db()
        assert dying.status == "failed"
        # Orders of unknown fate hold their accounts where they are, until the sentinel knows more.
        assert proxies.accounts_settle(actor=made[0].actor) == 0
        assert accounts_of(spare) == set()
        sentinel = Sentinel()
        until = time.monotonic() + 30
        while accounts_of(spare) != set(LABELS):
            assert time.monotonic() < until
            sentinel.round()
        for intent in lost:
            intent.refresh_from_db()
            assert (intent.state, intent.submission) == ("filled", "acknowledged"), intent.reason

        for one in made:
            assert send(one, 61).state == "filled"
            job = account_sync(
                account=ExchangeAccount.objects.for_sync().get(pk=one.account.pk),
                actor=one.actor,
                thorough=True,
            )
            assert job is not None
            assert job.proxy_session == spare
        assert check.Ledgers([at_venue(paper)]).differences() == []
    orders = Counter(door.orders)
    assert set(orders.values()) == {1}
    assert len({client_order_id for client_order_id, _exit in orders}) == len(orders)
    exits = {dying.pk: first.exit_ip, spare.pk: second.exit_ip}
    claimed = OrderIntent.objects.filter(state="filled", proxy_session__in=exits)
    on_record = {
        client_order_id: exits[session_id]
        for client_order_id, session_id in claimed.values_list("client_order_id", "proxy_session")
    }
    assert dict(orders.keys()) == on_record
    assert set(door.peers) == {first.exit_ip, second.exit_ip}


def sent_while_killed(
    paper: VenueThread, door: Door, proxy: RunningProxy, made: list[Stage]
) -> list[OrderIntent]:
    """Kill the proxy while each account has an order accepted and not answered; return those."""
    with ThreadPoolExecutor(len(made)) as traders:
        trading = [traders.submit(partial(send_until_lost, one)) for one in made]
        wait_for(lambda: len(door.orders) >= BEFORE)
        fault = Fault(FaultKind.HANG, "POST", "/fapi/v1/order", times=len(made))
        paper.venue.faults.add(fault)
        wait_for(lambda: not paper.venue.faults.standing())
        proxy.kill()
        intents = [intent for each in trading for intent in each.result(30)]
    close_old_connections()
    lost = [intent for intent in intents if intent.submission == "unknown"]
    assert {intent.account_id for intent in lost} == set(LABELS)
    assert len(lost) == len(LABELS)
    rest = Counter((one.state, one.submission) for one in intents if one not in lost)
    assert rest[("filled", "acknowledged")] >= BEFORE - len(LABELS)
    assert rest[("failed", "none")] == len(LABELS)  # not sent once the proxy was dead, nor later
    assert sum(rest.values()) == rest[("filled", "acknowledged")] + len(LABELS)
    return lost


def accounts_of(session: ProxySession) -> set[str]:
    return set(session.accounts.values_list("pk", flat=True))
