"""Actions on proxy sessions: each asks for a reason and its own permission."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from monitoring.models import MonitoringEvent
from tests import factories

pytestmark = pytest.mark.django_db

LIST = reverse("admin:accounts_proxysession_changelist")


@pytest.fixture
def sessions() -> list[ProxySession]:
    pool = ProxyProfile.objects.create(profile_id="pool", name="Pool")
    return [
        ProxySession.objects.create(proxy_profile=pool, ip="127.0.0.2", port=port)
        for port in (1, 2)
    ]


def act(page: Client, action: str, session: ProxySession, **more: str) -> Any:
    data = {"action": action, "_selected_action": str(session.pk), **more}
    return page.post(LIST, data, follow=True)


@pytest.mark.parametrize("action", ["rotate", "fail", "check_now"])
def test_nothing_happens_without_a_reason(
    action: str, page: Client, sessions: list[ProxySession]
) -> None:
    asked = act(page, action, sessions[0])
    assert "change_reason" in asked.content.decode()
    act(page, action, sessions[0], confirmed="1", change_reason="")
    assert set(ProxySession.objects.values_list("status", flat=True)) == {"active"}
    assert not OrmQ.objects.exists()
    assert not MonitoringEvent.objects.filter(type="proxy-alert").exists()


def test_each_action_does_its_verb(page: Client, sessions: list[ProxySession]) -> None:
    first, second = sessions
    account = factories.account(proxy_profile=first.proxy_profile, proxy_session=first)
    why = {"confirmed": "1", "change_reason": "as agreed"}
    act(page, "rotate", first, **why)
    account.refresh_from_db()
    assert account.proxy_session == second
    act(page, "fail", second, **why)
    account.refresh_from_db()
    assert account.proxy_session == first
    second.refresh_from_db()
    assert (second.status, second.is_held) == ("failed", True)
    act(page, "check_now", second, **why)
    second.refresh_from_db()
    assert second.is_held is False
    (queued,) = OrmQ.objects.all()
    assert queued.task["args"][:2] == ("proxies.check", {"session_id": str(second.pk)})
    events = MonitoringEvent.objects.filter(type="proxy-alert", message__contains="as agreed")
    assert events.count() == 4


def test_actions_are_not_offered_without_permission(
    clerk: Client, sessions: list[ProxySession]
) -> None:
    answer = act(clerk, "fail", sessions[0], confirmed="1", change_reason="as agreed")
    assert answer.status_code == 403
    assert not ProxySession.objects.filter(status="failed").exists()


@pytest.mark.parametrize("action", ["rotate", "fail", "check_now"])
def test_who_may_only_look_is_offered_no_action(
    action: str, clerk: Client, sessions: list[ProxySession]
) -> None:
    User.objects.get(username="clerk").user_permissions.add(
        Permission.objects.get(codename="view_proxysession")
    )
    sessions[0].status, sessions[0].is_held = "failed", True
    sessions[0].save()
    answer = act(clerk, action, sessions[0], confirmed="1", change_reason="as agreed")
    assert (answer.status_code, OrmQ.objects.count()) == (200, 0)
    sessions[0].refresh_from_db()
    assert (sessions[0].status, sessions[0].is_held) == ("failed", True)


def test_account_moves_to_another_session(page: Client, sessions: list[ProxySession]) -> None:
    first, second = sessions
    account = factories.account(proxy_profile=first.proxy_profile, proxy_session=first)
    data = {
        "action": "reroute",
        "_selected_action": account.pk,
        "confirmed": "1",
        "change_reason": "as agreed",
    }
    page.post(reverse("admin:accounts_exchangeaccount_changelist"), data)
    assert ExchangeAccount.objects.get(pk=account.pk).proxy_session == second


URL = "http://user:CANARY@8.8.8.8:3128"
ALONE = (
    "Enter the IP address alone, such as 203.0.113.7: the port and the credentials "
    "(user:password) have fields of their own, and the scheme is the profile's."
)


@pytest.mark.parametrize("typed", [URL, "user:CANARY@8.8.8.8", "CANARY.example:80", "::CANARY"])
def test_pasted_proxy_address_is_told_what_belongs_where_and_not_shown_again(
    typed: str, page: Client, sessions: list[ProxySession]
) -> None:
    data = {"proxy_profile": "pool", "ip": typed, "port": "1", "auth": ""}
    for address in (
        reverse("admin:accounts_proxysession_add"),
        reverse("admin:accounts_proxysession_change", args=[sessions[0].pk]),
    ):
        answer = page.post(address, data)
        assert answer.status_code == 200
        assert dict(answer.context["adminform"].form.errors) == {"ip": [ALONE]}
        assert "CANARY" not in answer.content.decode()
    assert set(ProxySession.objects.values_list("ip", flat=True)) == {"127.0.0.2"}


def test_mistyped_address_is_shown_again(page: Client, sessions: list[ProxySession]) -> None:
    data = {"proxy_profile": "pool", "ip": "8.8.8.300", "port": "1", "auth": ""}
    answer = page.post(reverse("admin:accounts_proxysession_add"), data)
    assert dict(answer.context["adminform"].form.errors) == {"ip": [ALONE]}
    assert 'value="8.8.8.300"' in answer.content.decode()


def test_malformed_proxy_is_named_in_the_form(page: Client, sessions: list[ProxySession]) -> None:
    data = {
        "proxy_profile": "pool",
        "ip": "169.254.169.254",
        "port": "1",
        "auth": "http://user:CANARY@host",
    }
    answer = page.post(reverse("admin:accounts_proxysession_add"), data)
    assert set(answer.context["adminform"].form.errors) == {"ip", "auth"}
    assert "CANARY" not in answer.content.decode()
    assert ProxySession.objects.count() == 2
