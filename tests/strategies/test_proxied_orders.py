"""Orders behind proxies: one that dies on the way loses nothing, and none is sent twice."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import close_old_connections, connections
from django_q.models import OrmQ

from accounts import checking, proxies
from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from controlplane.kernel.errors import Conflict
from markets.venues.paper.faults import Fault, FaultKind
from strategies import claims, execution
from strategies.models import OrderIntent
from tests.proxies import Door, RunningProxy, http_proxy, socks_proxy
from tests.strategies.conftest import Stage, VenueThread, stage

ORDER = "/fapi/v1/order"
ROTATIONS, ORDERS = 4, 8
KINDS: dict[str, Callable[[str], AbstractContextManager[RunningProxy]]] = {
    "http": http_proxy,
    "https": partial(http_proxy, tls=True),
    "socks5": socks_proxy,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY_SECONDS", 0.05)


@pytest.fixture
def door(paper: VenueThread) -> Iterator[Door]:
    made = Door()
    asyncio.run_coroutine_threadsafe(made.open(paper.venue.port), paper._loop).result(10)
    yield made
    paper._loop.call_soon_threadsafe(made.close)


def pool(kind: str) -> ProxyProfile:
    return ProxyProfile.objects.create(profile_id="pool", name="Pool", scheme=kind)


def behind(profile: ProxyProfile, session: ProxySession, door: Door) -> Stage:
    return stage(f"http://127.0.0.1:{door.port}", proxy_profile=profile, proxy_session=session)


def submit(made: Stage, intent: OrderIntent) -> tuple[str, str]:
    execution.intent_submit(intent_id=intent.pk, actor=made.actor)
    intent.refresh_from_db()
    return intent.state, intent.submission


def session_of(made: Stage) -> ProxySession | None:
    return ExchangeAccount.objects.get(pk=made.account.pk).proxy_session


def queued() -> list[tuple[str, dict[str, str]]]:
    return [tuple(row.task["args"][:2]) for row in OrmQ.objects.all()]


@pytest.mark.parametrize("kind", KINDS)
def test_proxy_that_dies_mid_order_leaves_one_question_that_another_route_answers(
    kind: str, transactional_db: None, paper: VenueThread, door: Door
) -> None:
    profile = pool(kind)
    with KINDS[kind]("127.0.0.2") as first, KINDS[kind]("127.0.0.3") as second:
        dying, spare = first.session(profile), second.session(profile)
        made = behind(profile, dying, door)
        paper.venue.faults.add(Fault(FaultKind.HANG, "POST", ORDER))

        def kill_when_accepted() -> None:
            while not any(account.orders for account in paper.venue.engine.accounts.values()):
                time.sleep(0.005)
            first.kill()

        killer = threading.Thread(target=kill_when_accepted)
        killer.start()
        intent = made.wish()
        assert submit(made, intent) == ("submitted", "unknown")
        killer.join(10)
        assert ("proxies.check", {"session_id": str(dying.pk)}) in queued()

        checking.sessions_check(actor=made.actor, session_id=dying.pk)
        dying.refresh_from_db()
        assert dying.status == "failed"
        assert proxies.accounts_settle(actor=made.actor) == 0
        assert session_of(made) == dying
        assert submit(made, intent) == ("submitted", "unknown")

        lost = execution.selectors.intent_to_send(intent.pk)
        execution.unknown_resolve(intent=lost, actor=made.actor)
        intent.refresh_from_db()
        assert (intent.state, intent.submission) == ("filled", "acknowledged")
        assert intent.proxy_session == dying
        assert proxies.accounts_settle(actor=made.actor) == 1
        assert session_of(made) == spare
        assert door.orders.count((intent.client_order_id, first.exit_ip)) == 1
        assert len(door.orders) == 1
        assert set(door.peers) == {first.exit_ip, second.exit_ip}


@pytest.mark.parametrize("kind", KINDS)
def test_order_refused_by_the_proxy_was_not_sent_and_blames_no_key(
    kind: str, transactional_db: None, paper: VenueThread, door: Door
) -> None:
    profile = pool(kind)
    with KINDS[kind]("127.0.0.2") as proxy:
        session = proxy.session(profile, auth="user:CANARY")
        made = behind(profile, session, door)
        intent = made.wish()
        assert submit(made, intent) == ("failed", "none")
        assert "CANARY" not in intent.reason
        assert ExchangeAccount.objects.get().status == "active"
        assert ("proxies.check", {"session_id": str(session.pk)}) in queued()
    assert (door.peers, paper.orders()) == ([], [])


def test_order_claimed_after_a_move_goes_the_new_way(
    transactional_db: None, paper: VenueThread, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = pool("http")
    with http_proxy("127.0.0.2") as first, http_proxy("127.0.0.3") as second:
        old, new = first.session(profile), second.session(profile)
        made = behind(profile, old, door)
        claim = claims.intents_claim

        def move_then_claim(intents: Sequence[OrderIntent], **terms: Any) -> list[OrderIntent]:
            proxies.session_rotate(session=old, actor=made.actor, reason="by hand")
            return claim(intents, **terms)

        monkeypatch.setattr(claims, "intents_claim", move_then_claim)
        intent = made.wish()
        assert submit(made, intent) == ("filled", "acknowledged")
        assert intent.proxy_session == new
        assert door.orders == [(intent.client_order_id, second.exit_ip)]


def test_rotation_under_load_sends_every_order_once_by_the_session_on_record(
    transactional_db: None, paper: VenueThread, door: Door
) -> None:
    profile = pool("http")
    with http_proxy("127.0.0.2") as first, http_proxy("127.0.0.3") as second:
        sessions = {first.session(profile): first, second.session(profile): second}
        made = behind(profile, next(iter(sessions)), door)
        enough = threading.Event()

        def trade() -> list[OrderIntent]:
            sent: list[OrderIntent] = []
            try:
                while not enough.wait(0.02):
                    # Another size each time: the same order twice in a second is a slip.
                    size = Decimal(1 + len(sent) % 60) * Decimal("0.001")
                    sent.append(made.wish(amount=size))
                    submit(made, sent[-1])
            finally:
                connections.close_all()
            return sent

        with ThreadPoolExecutor(1) as trader:
            trading = trader.submit(trade)
            try:
                rotations, until = 0, time.monotonic() + 30
                while rotations < ROTATIONS or len(door.orders) < ORDERS:
                    assert time.monotonic() < until
                    current = session_of(made)
                    assert current is not None
                    with suppress(Conflict):  # it is being left already
                        proxies.session_rotate(session=current, actor=made.actor, reason="load")
                    proxies.accounts_settle(actor=made.actor)
                    rotations += session_of(made) != current
                    time.sleep(0.005)
            finally:
                enough.set()
            intents = trading.result(20)
        close_old_connections()
    exits = {session.pk: proxy.exit_ip for session, proxy in sessions.items()}
    recorded = {
        client_order_id: exits[session_id]
        for client_order_id, session_id in OrderIntent.objects.exclude(
            submission="none"
        ).values_list("client_order_id", "proxy_session_id")
    }
    assert sorted(door.orders) == sorted(recorded.items())
    assert {intent.state for intent in intents} == {"filled"}, [i.reason for i in intents]
