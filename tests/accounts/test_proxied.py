"""Accounts behind real proxies: every connection from the proxy, and health as it is."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django_q.models import OrmQ

from accounts import checking
from accounts.choices import ProxyScheme, SyncStatus
from accounts.jobs import CheckProxies, SyncAccount
from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from accounts.observations import FillsSeen, Observation
from accounts.services import account_sync
from controlplane import doctor
from controlplane.background import Background
from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from controlplane.sentinel import Sentinel
from monitoring.models import JobRun, MonitoringEvent
from tests import factories
from tests.accounts.paper import Paper
from tests.accounts.test_streams import settle, streams, wait_for
from tests.proxies import Door, http_proxy, socks_proxy

ACTOR = Actor(name="test", surface=Surface.COMMAND)
KINDS = {
    "http": partial(http_proxy, "127.0.0.2"),
    "https": partial(http_proxy, "127.0.0.2", tls=True),
    "socks5": partial(socks_proxy, "127.0.0.2"),
}

TRANSPARENT = {
    "http": partial(http_proxy, "127.0.0.1"),
    "https": partial(http_proxy, "127.0.0.1", tls=True),
    "socks5": partial(socks_proxy, "127.0.0.1"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(checking, "NOT_AGAIN_WITHIN", checking.NOT_AGAIN_WITHIN * 0)
    monkeypatch.setattr("markets.feeds.runner.FIRST_DELAY", 0.05)


def door_of(paper: Paper) -> Door:
    """Put a door before the venue, for REST and streams alike."""
    door = Door()
    paper.run(door.open(paper.server.port))
    paper.row.rest_endpoint = f"http://127.0.0.1:{door.port}"
    paper.row.ws_endpoint = f"ws://127.0.0.1:{door.port}"
    paper.row.save()
    return door


@pytest.fixture
def door(paper: Paper) -> Iterator[Door]:
    made = door_of(paper)
    yield made
    paper.do(made.close)


@pytest.fixture
def live_door(live_paper: Paper) -> Iterator[Door]:
    made = door_of(live_paper)
    yield made
    live_paper.do(made.close)


def pool(scheme: str = "http") -> ProxyProfile:
    return ProxyProfile.objects.create(
        profile_id=f"pool-{scheme}", name="Pool", scheme=ProxyScheme(scheme)
    )


def fresh(account: ExchangeAccount) -> ExchangeAccount:
    return ExchangeAccount.objects.for_sync().get(pk=account.pk)


def sync(account: ExchangeAccount) -> tuple[str, ProxySession | None]:
    job = account_sync(account=fresh(account), actor=ACTOR)
    assert job is not None
    return job.status, job.proxy_session


def status(session: ProxySession) -> str:
    session.refresh_from_db()
    return str(session.status)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_and_private_stream_come_from_the_proxy_alone(
    kind: str, live_paper: Paper, live_door: Door, seen: list[Observation]
) -> None:
    with KINDS[kind]() as proxy:
        profile = pool(kind)
        session = proxy.session(profile)
        account = live_paper.account("alpha", proxy_profile=profile, proxy_session=session)
        with streams():
            settle(live_paper, seen)
            live_paper.move("alpha", "BTCUSDT", "0.1")
            wait_for(lambda: any(isinstance(item, FillsSeen) for item in seen))
            assert sync(account) == (SyncStatus.SUCCESS, session)
            sockets = live_paper.do(lambda: len(live_paper.server.core.hub.clients))
        assert sockets == 1
        assert len(live_door.peers) >= 2
        assert set(live_door.peers) == {proxy.exit_ip}


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_proxy_password_is_the_proxys_fault(
    kind: str, paper: Paper, door: Door, seen: list[Observation]
) -> None:
    with KINDS[kind]() as proxy:
        profile = pool(kind)
        session = proxy.session(profile, auth="user:CANARY")
        account = paper.account("alpha", proxy_profile=profile, proxy_session=session)
        assert sync(account) == (SyncStatus.FAILED, session)
        error = fresh(account).state.last_error
        assert "authentication_failed" not in error
        assert "CANARY" not in error
        assert fresh(account).status == "active"
        assert door.peers == []
        checking.sessions_check(actor=ACTOR)
    assert status(session) == "failed"
    assert "CANARY" not in session.last_error
    assert "CANARY" not in str(list(MonitoringEvent.objects.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_dead_proxy_fails_and_one_that_is_back_is_taken_back(
    kind: str, paper: Paper, door: Door
) -> None:
    profile = pool(kind)
    with KINDS[kind]() as proxy:
        session = proxy.session(profile)
        account = paper.account("alpha", proxy_profile=profile, proxy_session=session)
        assert checking.sessions_check(actor=ACTOR) == 1
        assert (status(session), session.last_error) == ("active", "")
        proxy.kill()
        for _ in range(2):
            checking.sessions_check(actor=ACTOR)
        assert status(session) == "failed"
        assert fresh(account).status == "paused"
        failed = MonitoringEvent.objects.filter(type="proxy-alert", message__contains="out of use")
        assert [event.severity for event in failed] == ["CRITICAL"]
    with KINDS[kind]() as proxy:
        ProxySession.objects.update(port=proxy.port)
        checking.sessions_check(actor=ACTOR)
    assert (status(session), session.last_error) == ("active", "")
    assert set(door.peers) == {"127.0.0.2"}


def test_accounts_without_a_way_out_do_not_wait_for_the_minute(
    transactional_db: None, paper: Paper, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "RETRY_WITHIN", checking.RETRY_WITHIN * 0)
    profile = pool()
    with KINDS["http"]() as proxy:
        session = proxy.session(profile)
        paper.account("alpha", proxy_profile=profile, proxy_session=session)
        idle = proxy.session(pool("socks5"), auth="user:idle")  # nobody waits for it
        ProxySession.objects.update(status="failed")
        proxy.kill()
        assert checking.sessions_retry(actor=ACTOR) == 1
        assert status(session) == "failed"
    sentinel = Sentinel(background=Background(1))
    with KINDS["http"]() as proxy:
        ProxySession.objects.update(port=proxy.port)
        sentinel.proxies()
        wait_for(lambda: status(session) == "active")
    sentinel.background.close()
    assert status(idle) == "failed"
    assert checking.sessions_retry(actor=ACTOR) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_venue_that_answers_nobody_fails_no_session(kind: str, paper: Paper) -> None:
    paper.row.rest_endpoint = "http://127.0.0.1:9"
    paper.row.save()
    with KINDS[kind]() as proxy:
        profile = pool(kind)
        session = proxy.session(profile)
        paper.account("alpha", proxy_profile=profile, proxy_session=session)
        checking.sessions_check(actor=ACTOR)
    assert status(session) == "active"
    assert session.last_error
    assert not MonitoringEvent.objects.filter(type="proxy-alert").exists()


def test_session_that_comes_out_elsewhere_is_taken_out(
    paper: Paper, door: Door, settings: Any
) -> None:
    settings.EGRESS_ECHO_URL = f"{paper.server.rest_url}/control/peer"
    profile = pool()
    with http_proxy("127.0.0.2") as honest, http_proxy("127.0.0.3", exit_ip="127.0.0.4") as leaky:
        good, bad = honest.session(profile), leaky.session(profile)
        account = paper.account("alpha", proxy_profile=profile, proxy_session=bad)
        checking.sessions_check(actor=ACTOR)
    assert (status(good), status(bad)) == ("active", "failed")
    assert "127.0.0.4" in bad.last_error
    assert fresh(account).proxy_session == good
    assert MonitoringEvent.objects.filter(type="proxy-alert", severity="CRITICAL").count() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_session_that_comes_out_with_our_own_address_is_taken_out(
    kind: str, paper: Paper, door: Door, settings: Any
) -> None:
    settings.EGRESS_ECHO_URL = f"{paper.server.rest_url}/control/peer"
    profile = pool(kind)
    with TRANSPARENT[kind]() as transparent, KINDS[kind]() as honest:
        bad, good = transparent.session(profile), honest.session(profile)
        account = paper.account("alpha", proxy_profile=profile, proxy_session=bad)
        checking.sessions_check(actor=ACTOR)
    assert (status(bad), status(good)) == ("failed", "active")
    assert bad.last_error == "It comes out with our own address, 127.0.0.1."
    assert fresh(account).proxy_session == good
    told = MonitoringEvent.objects.get(type="proxy-alert", severity="CRITICAL")
    assert "our own address" in told.message


def test_echo_that_does_not_tell_proves_nothing(paper: Paper, door: Door, settings: Any) -> None:
    settings.EGRESS_ECHO_URL = f"{paper.server.rest_url}/control/accounts"
    profile = pool()
    with http_proxy("127.0.0.2") as proxy:
        session = proxy.session(profile)
        paper.account("alpha", proxy_profile=profile, proxy_session=session)
        checking.sessions_check(actor=ACTOR)
    assert (status(session), session.last_error) == ("active", "")


def test_failed_sync_has_the_session_checked_and_the_account_moved(
    paper: Paper, door: Door, seen: list[Observation]
) -> None:
    profile = pool()
    with http_proxy("127.0.0.2") as first, http_proxy("127.0.0.3") as second:
        dead, alive = first.session(profile), second.session(profile)
        account = paper.account("alpha", proxy_profile=profile, proxy_session=dead)
        first.kill()
        jobs.execute(SyncAccount.name, {"account_id": account.pk})
        (queued,) = OrmQ.objects.all()
        name, ids = queued.task["args"][:2]
        assert (name, ids) == ("proxies.check", {"session_id": str(dead.pk)})
        jobs.execute(CheckProxies.name, ids)
        assert status(dead) == "failed"
        assert sync(account) == (SyncStatus.SUCCESS, alive)
        assert set(door.peers) == {second.exit_ip}
    assert not JobRun.objects.filter(status="errored").exists()


def test_sentinel_gives_a_new_account_its_session(paper: Paper) -> None:
    profile = pool()
    session = ProxySession.objects.create(proxy_profile=profile, ip="127.0.0.2", port=9)
    account = paper.account("alpha", proxy_profile=profile)
    reports = {report.name: report for report in Sentinel().round()}
    assert (reports["proxies"].done, reports["proxies"].error) == (1, "")
    assert fresh(account).proxy_session == session


def test_doctor_says_that_exits_are_not_checked_without_an_echo(db: None, settings: Any) -> None:
    assert list(doctor.proxies()) == []
    ProxySession.objects.create(proxy_profile=pool(), ip="127.0.0.2", port=9)
    (finding,) = doctor.proxies()
    assert (finding.name, finding.verdict) == ("proxy exits", doctor.Verdict.WARN)
    assert finding.message.startswith("not checked")
    assert "EGRESS_ECHO_URL" in finding.advice
    settings.EGRESS_ECHO_URL = "https://echo.example/ip"
    assert list(doctor.proxies()) == []


def test_doctor_names_sessions_out_of_use_and_accounts_without(paper: Paper, settings: Any) -> None:
    settings.EGRESS_ECHO_URL = "https://echo.example/ip"
    profile = pool()
    session = ProxySession.objects.create(
        proxy_profile=profile, ip="127.0.0.2", port=9, status="failed", last_error="no answer"
    )
    paper.account("alpha", proxy_profile=profile, proxy_session=session)
    factories.account()
    found = {finding.name: finding for finding in doctor.proxies()}
    assert set(found) == {"proxy pool-http 127.0.0.2:9", "proxy of alpha"}
    assert "no answer" in found["proxy pool-http 127.0.0.2:9"].message
    assert {finding.verdict for finding in found.values()} == {doctor.Verdict.FAIL}
