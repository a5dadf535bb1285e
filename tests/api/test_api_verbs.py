"""Verbs over the API: one permission and one reason each, the same services as the console."""

from collections.abc import Callable

import pytest
from django_q.models import OrmQ
from rest_framework.test import APIClient

from monitoring.models import MonitoringEvent
from tests.api.rows import make_rows

VERBS = [
    ("accounts", "pause", "pause_exchangeaccount", "status", "active", "paused"),
    ("accounts", "resume", "resume_exchangeaccount", "status", "paused", "active"),
    ("strategy-modules", "enable", "enable_strategymodule", "status", "disable", "enable"),
    ("strategy-modules", "disable", "disable_strategymodule", "status", "enable", "disable"),
    ("alerts", "acknowledge", "acknowledge_alert", "state", "open", "acknowledged"),
]


@pytest.mark.parametrize(("prefix", "verb", "codename", "field", "before", "after"), VERBS)
def test_verb_needs_its_permission_and_a_reason_and_is_told(
    prefix, verb, codename, field, before, after, client_with: Callable[..., APIClient]
) -> None:
    row = make_rows()[prefix]
    setattr(row, field, before)
    row.save()
    seeing, path = f"view_{row._meta.model_name}", f"/api/v1/{prefix}/{row.pk}/{verb}/"
    body = {"reason": "as agreed"}
    for client in (client_with(seeing), client_with(codename), client_with(seeing, "add_venue")):
        assert client.post(path, body).status_code == 403
    client = client_with(seeing, codename)
    for bad in ({}, {"reason": ""}, {"reason": "a\x00"}, {"reason": 5}, {"reason": "x" * 501}):
        answer = client.post(path, bad)
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["reason"])
    assert client.post(path, {**body, "status": "emergency"}).status_code == 400
    row.refresh_from_db()
    assert getattr(row, field) == before

    events = MonitoringEvent.objects.count()
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()[field]) == (200, after)
    assert MonitoringEvent.objects.count() == events + 1
    again = client.post(path, body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert client.get(path).status_code in {403, 405}


def test_sync_is_queued_and_told(client_with: Callable[..., APIClient]) -> None:
    account = make_rows()["accounts"]
    path = f"/api/v1/accounts/{account.pk}/sync/"
    assert client_with("view_exchangeaccount").post(path, {"reason": "now"}).status_code == 403
    assert OrmQ.objects.count() == 0
    client = client_with("view_exchangeaccount", "sync_exchangeaccount")
    answer = client.post(path, {"reason": "moved funds"})
    assert (answer.status_code, answer.json()["accountId"]) == (202, account.pk)
    (queued,) = OrmQ.objects.all()
    assert queued.task["args"][:2] == ("accounts.sync", {"account_id": account.pk})
    assert MonitoringEvent.objects.filter(message__contains="moved funds").count() == 1


def test_verb_on_nothing_is_not_found(api: APIClient) -> None:
    answer = api.post("/api/v1/accounts/nothing/pause/", {"reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
