"""Proxy sessions over the API: verbs with their own permissions, and addresses that are none."""

from collections.abc import Callable

import pytest
from django_q.models import OrmQ
from rest_framework.test import APIClient

from accounts.models import ExchangeAccount, ProxySession
from monitoring.models import MonitoringEvent
from tests.api.bodies import VALID
from tests.api.rows import make_rows

REASON = {"reason": "as agreed"}


def other_session(row: ProxySession) -> ProxySession:
    return ProxySession.objects.create(proxy_profile=row.proxy_profile, ip="192.0.2.9", port=99)


@pytest.mark.parametrize("verb", ["rotate", "fail", "check"])
def test_verb_needs_its_permission(verb: str, client_with: Callable[..., APIClient]) -> None:
    row = make_rows()["proxy-sessions"]
    path, before = f"/api/v1/proxy-sessions/{row.pk}/{verb}/", MonitoringEvent.objects.count()
    others = {"rotate", "fail", "check"} - {verb}
    wrong = client_with("view_proxysession", *(f"{name}_proxysession" for name in others))
    assert wrong.post(path, REASON).status_code == 403
    right = client_with("view_proxysession", f"{verb}_proxysession")
    assert right.post(path, {"reason": ""}).status_code == 400
    row.refresh_from_db()
    assert row.status == "active"
    assert (OrmQ.objects.count(), MonitoringEvent.objects.count()) == (0, before)


def test_rotation_moves_the_accounts(api: APIClient) -> None:
    rows = make_rows()
    row, account = rows["proxy-sessions"], rows["accounts"]
    path = f"/api/v1/proxy-sessions/{row.pk}/rotate/"
    refused = api.post(path, REASON)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    other = other_session(row)
    answer = api.post(path, REASON)
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    assert answer.json()["accountIds"] == []
    assert answer.json()["lastRotation"]
    account.refresh_from_db()
    assert account.proxy_session == other


def test_failed_session_is_taken_back_by_a_check_alone(api: APIClient) -> None:
    row = make_rows()["proxy-sessions"]
    path = f"/api/v1/proxy-sessions/{row.pk}"
    failed = api.post(f"{path}/fail/", REASON)
    shown = failed.json()
    assert (failed.status_code, shown["status"], shown["isHeld"]) == (200, "failed", True)
    assert ExchangeAccount.objects.get().status == "paused"
    again = api.post(f"{path}/fail/", REASON)
    assert (again.status_code, again.json()["code"]) == (409, "illegal_move")
    asked = api.post(f"{path}/check/", REASON)
    assert (asked.status_code, asked.json()["isHeld"]) == (202, False)
    (queued,) = OrmQ.objects.all()
    assert queued.task["args"][:2] == ("proxies.check", {"session_id": str(row.pk)})


def test_account_is_rerouted(api: APIClient, client_with: Callable[..., APIClient]) -> None:
    rows = make_rows()
    account, other = rows["accounts"], other_session(rows["proxy-sessions"])
    path = f"/api/v1/accounts/{account.pk}/reroute/"
    assert client_with("view_exchangeaccount").post(path, REASON).status_code == 403
    answer = api.post(path, REASON)
    assert (answer.status_code, answer.json()["proxySessionId"]) == (200, str(other.pk))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("auth", "CANARYword"),
        ("auth", "http://user:CANARY@host:1"),
        ("ip", "169.254.169.254"),
        ("ip", "10.0.0.1"),
        ("ip", "::ffff:10.0.0.1"),
        ("ip", "0177.0.0.1"),
        ("ip", "2130706433"),
        ("ip", "metadata.google"),
        ("ip", ""),
        ("ip", 7),
        ("ip", ["8.8.8.8"]),
        ("port", 0),
    ],
)
def test_address_that_is_none_is_refused_by_name(
    field: str, value: object, api: APIClient, settings
) -> None:
    settings.ALLOW_PRIVATE_PROXIES = False
    body = {**VALID["proxy-sessions"](), "ip": "8.8.8.8", field: value}
    answer = api.post("/api/v1/proxy-sessions/", body)
    assert (answer.status_code, list(answer.json()["details"])) == (400, [field])
    assert "CANARY" not in answer.content.decode()
    assert not ProxySession.objects.exists()


@pytest.mark.parametrize("ip", ["http://user:CANARY@8.8.8.8:3128", "user:CANARY@8.8.8.8"])
def test_pasted_proxy_address_is_told_what_belongs_where(ip: str, api: APIClient) -> None:
    answer = api.post("/api/v1/proxy-sessions/", {**VALID["proxy-sessions"](), "ip": ip})
    assert answer.status_code == 400
    (problem,) = answer.json()["details"]["ip"]
    assert problem["message"].startswith("Enter the IP address alone, such as 203.0.113.7: ")
    assert "CANARY" not in answer.content.decode()
    assert not ProxySession.objects.exists()
