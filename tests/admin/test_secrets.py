"""Credentials go in and never come out."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ExchangeAccount
from monitoring.models import AlertRoute, MonitoringEvent
from tests import factories
from tests.admin.forms import errors_of, form_data

pytestmark = pytest.mark.django_db
CANARY = "canary-0123456789-secret-value-LAST"
SECRETS = ("api_key", "api_secret", "passphrase", "public_key", "agent_key")


def change_url(account: ExchangeAccount) -> str:
    return reverse("admin:accounts_exchangeaccount_change", args=[account.pk])


def pages(client: Client, account: ExchangeAccount) -> str:
    names = ("accounts_exchangeaccount", "base_auditevent", "monitoring_monitoringevent")
    addresses = [reverse(f"admin:{name}_changelist") for name in names]
    addresses.append(change_url(account))
    addresses.append(reverse("admin:accounts_exchangeaccount_history", args=[account.pk]))
    addresses.append(reverse("admin:accounts_exchangeaccount_delete", args=[account.pk]))
    return "".join(client.get(address).content.decode() for address in addresses)


@pytest.mark.parametrize("field", SECRETS)
def test_a_credential_set_here_is_never_shown(page: Client, field: str) -> None:
    account = factories.account()
    before = ExchangeAccount.objects.get(pk=account.pk).secrets_fingerprint
    data = form_data(page, change_url(account)) | {field: CANARY, "change_reason": "Rotated"}
    response = page.post(change_url(account), data, follow=True)
    assert errors_of(response) == {}
    stored = ExchangeAccount.objects.get(pk=account.pk)
    assert getattr(stored, field).reveal() == CANARY
    assert stored.secrets_fingerprint != before
    html = response.content.decode() + pages(page, stored)
    assert CANARY not in html
    assert stored.fingerprints()[field] in page.get(change_url(account)).content.decode()
    assert CANARY not in str(list(MonitoringEvent.objects.values()))


def test_a_refused_form_does_not_echo_the_credential(page: Client) -> None:
    account = factories.account()
    data: dict[str, Any] = form_data(page, change_url(account))
    data |= {"api_secret": CANARY, "delta_threshold": "-1"}
    response = page.post(change_url(account), data)
    assert "delta_threshold" in errors_of(response)
    assert CANARY not in response.content.decode()


def test_a_blank_credential_leaves_the_stored_one(page: Client) -> None:
    account = factories.account(api_secret=CANARY, passphrase="old-passphrase")
    data = form_data(page, change_url(account)) | {"account_name": "Renamed"}
    assert all(data[name] == "" for name in SECRETS)
    page.post(change_url(account), data)
    stored = ExchangeAccount.objects.get(pk=account.pk)
    assert stored.account_name == "Renamed"
    assert stored.api_secret.reveal() == CANARY
    assert stored.passphrase.reveal() == "old-passphrase"


def test_an_alert_routes_target_is_a_credential_too(page: Client) -> None:
    route = AlertRoute.objects.create(route_id="pager", name="Pager", target=CANARY)
    url = reverse("admin:monitoring_alertroute_change", args=[route.pk])
    data = form_data(page, url) | {"name": "Night pager"}
    assert CANARY not in page.get(url).content.decode()
    page.post(url, data)
    route = AlertRoute.objects.get(pk=route.pk)
    assert (route.name, route.target.reveal()) == ("Night pager", CANARY)
