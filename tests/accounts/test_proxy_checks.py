"""*Check now*, by the admin and the API, of what is no proxy or wants another password."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import Thread

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from accounts import checking
from accounts.jobs import CheckProxies
from accounts.models import ProxyProfile, ProxySession
from controlplane.base import jobs
from monitoring.models import JobRun, MonitoringEvent
from tests import factories
from tests.accounts.paper import Paper
from tests.proxies import http_proxy

AUTH = "WHO-CANARY:CANARY"
LIST = reverse("admin:accounts_proxysession_changelist")
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot found"
GARBAGE = b"\xff\x00\x17 no protocol\r\n\r\n" * 3


@contextmanager
def answering(said: bytes) -> Iterator[int]:
    """Serve a port that answers whatever it is told with the same bytes; give the port."""
    with socket.create_server(("127.0.0.2", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _address = server.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(10)
                    try:
                        if peer.recv(65536):
                            peer.sendall(said)
                    except OSError:  # it left in between
                        continue

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(30)


@contextmanager
def nothing() -> Iterator[int]:
    """Give a port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.2", 0))
        yield held.getsockname()[1]


@contextmanager
def another_password() -> Iterator[int]:
    with http_proxy("127.0.0.2") as proxy:
        yield proxy.port


PORTS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "nobody there": nothing,
    "a web server": partial(answering, NOT_FOUND),
    "garbage": partial(answering, GARBAGE),
    "a close": partial(answering, b""),
}
CASES = [
    *((scheme, name, None) for scheme in ("http", "https", "socks5") for name in PORTS),
    ("http", "another password", "The proxy wants other credentials (HTTP 407)."),
]


@pytest.fixture
def browser(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY_SECONDS", 0.05)


@pytest.mark.parametrize(("scheme", "what", "error"), CASES)
def test_what_is_no_proxy_of_ours_fails_with_a_reason_and_no_credential(
    scheme: str, what: str, error: str | None, paper: Paper, browser: Client
) -> None:
    with {**PORTS, "another password": another_password}[what]() as port:
        pool = ProxyProfile.objects.create(profile_id="pool", name="Pool", scheme=scheme)
        pool.venues.add(paper.row)
        session = pool.sessions.create(ip="127.0.0.2", port=port, auth=AUTH)
        asked = check(browser, session)
        assert "Done for 1 row." in asked
        (queued,) = OrmQ.objects.all()
        jobs.execute(CheckProxies.name, queued.task["args"][1])
    session.refresh_from_db()
    assert session.status == "failed"
    assert session.last_error
    assert error in (None, session.last_error)
    assert not JobRun.objects.exclude(status="success").exists()
    shown = [browser.get(LIST), browser.get(f"/api/v1/proxy-sessions/{session.pk}/")]
    assert MonitoringEvent.objects.filter(message__contains=session.last_error).count() == 1
    told = str(list(MonitoringEvent.objects.values()))
    for text in (asked, told, *(answer.content.decode() for answer in shown)):
        assert "CANARY" not in text
    assert shown[1].json()["lastError"] == session.last_error


def test_a_session_that_a_person_took_out_and_that_is_still_dead_stays_out(
    paper: Paper, browser: Client
) -> None:
    with nothing() as port:
        pool = ProxyProfile.objects.create(profile_id="pool", name="Pool")
        session = pool.sessions.create(
            ip="127.0.0.2", port=port, auth=AUTH, status="failed", is_held=True
        )
        check(browser, session)
        jobs.execute(CheckProxies.name, {"session_id": str(session.pk)})
    session.refresh_from_db()
    assert (session.status, session.is_held) == ("failed", False)
    assert session.last_error.startswith("The proxy does not answer: ")
    assert "CANARY" not in session.last_error


def check(browser: Client, session: ProxySession) -> str:
    answer = browser.post(
        LIST,
        {
            "action": "check_now",
            "_selected_action": str(session.pk),
            "confirmed": "1",
            "change_reason": "it looks dead",
        },
        follow=True,
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_session_that_no_venue_may_use_is_not_checked_without_a_word(
    paper: Paper, browser: Client
) -> None:
    pool = ProxyProfile.objects.create(profile_id="pool", name="Pool")
    pool.venues.add(factories.venue(is_enabled=False))
    session = pool.sessions.create(ip="127.0.0.2", port=9)
    assert "no enabled venue" in check(browser, session)
    answer = browser.post(
        f"/api/v1/proxy-sessions/{session.pk}/check/",
        {"reason": "it looks dead"},
        content_type="application/json",
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert not OrmQ.objects.exists()
