"""Every page of the admin opens for those who may, and for nobody else."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import EquitySample
from controlplane.base.admin import ReadOnlyModelAdmin
from controlplane.base.trail import AuditEvent
from tests import factories
from tests.admin.conftest import make_rows

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
WITH_PAGE = [model for model in MODELS if model is not AuditEvent]
RECORDS = [
    model for model in WITH_PAGE if isinstance(admin.site._registry[model], ReadOnlyModelAdmin)
]
MAX_QUERIES = 16


def label(model: type[Model]) -> str:
    return str(model._meta.label)


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_entity_has_an_admin() -> None:
    names = {label(model).partition(".")[2] for model in MODELS}
    assert names >= {
        "Venue", "Instrument", "MarketDataFeed", "Quote", "SynthPriceSnapshot", "FundingRate",
        "ProxyProfile", "ProxySession", "StopLossConfig", "ExchangeAccount", "RiskEnvelope",
        "AccountSyncJob", "AccountState", "Position", "EquitySample", "StrategyModule",
        "AccountAllocation", "RiskLimit", "OrderIntent", "HedgeExecution", "Fill",
        "ReconciliationBreak", "StopRule",
        "MonitoringEvent", "AlertRoute", "Alert", "JobRun", "User", "Group", "AuditEvent",
    }  # fmt: skip
    assert not names & {"Schedule", "OrmQ", "Success", "Failure", "AccessAttempt"}


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_list_and_pages_open_for_a_superuser(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    options = admin.site._registry[model]
    listed = page.get(address(model, "changelist"))
    assert listed.status_code == 200
    adding = page.get(address(model, "add"))
    assert adding.status_code == (403 if isinstance(options, ReadOnlyModelAdmin) else 200)
    if model is not AuditEvent:
        row = rows[label(model)]
        assert page.get(address(model, "change", row.pk)).status_code == 200
        assert page.get(address(model, "history", row.pk)).status_code == 200


def test_show_all_is_offered_where_something_is_left_out(
    page: Client, rows: dict[str, Any]
) -> None:
    listed = reverse("admin:markets_venue_changelist")
    offered = [b"Show all" in page.get(listed + query).content for query in ("", "?q=x")]
    assert offered == [False, True]


@pytest.mark.parametrize("model", WITH_PAGE, ids=label)
def test_pages_stay_shut_for_strangers_and_staff_without_permission(
    model: type[Model], client: Client, clerk: Client, rows: dict[str, Any]
) -> None:
    for page in (
        address(model, "changelist"),
        address(model, "add"),
        address(model, "change", rows[label(model)].pk),
        address(model, "history", rows[label(model)].pk),
    ):
        assert client.get(page).status_code == 302
        assert clerk.get(page).status_code == 403


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_a_list_asks_as_much_for_thirty_rows_as_for_one(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    page.get(address(model, "changelist"))
    with CaptureQueriesContext(
        connection,
    ) as one:
        page.get(address(model, "changelist"))
    for number in range(1, 30):
        make_rows(number)
    with CaptureQueriesContext(connection) as many:
        assert page.get(address(model, "changelist")).status_code == 200
    assert len(many) <= len(one) <= MAX_QUERIES


@pytest.mark.parametrize("model", RECORDS, ids=label)
def test_what_machines_write_takes_no_post(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    row = rows[label(model)]
    before = list(model._default_manager.filter(pk=row.pk).values())
    assert page.post(address(model, "change", row.pk), {"reason": "x"}).status_code == 403
    assert page.post(address(model, "add"), {}).status_code == 403
    if label(model) != "knox.AuthToken":
        assert page.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert list(model._default_manager.filter(pk=row.pk).values()) == before


def test_the_audit_trail_is_read_only(page: Client, rows: dict[str, Any]) -> None:
    event = AuditEvent.objects.order_by("-pgh_created_at").first()
    assert page.get(address(AuditEvent, "change", event.pk)).status_code == 404
    assert page.post(address(AuditEvent, "change", event.pk), {}).status_code in {403, 404}
    assert page.post(address(AuditEvent, "delete", event.pk), {}).status_code in {403, 404}


def test_only_what_people_change_offers_a_history(page: Client) -> None:
    intent = factories.intent()
    record = reverse("admin:strategies_orderintent_change", args=[intent.pk])
    assert "/history/" not in page.get(record).content.decode()
    edited = reverse("admin:accounts_exchangeaccount_change", args=[intent.account_id])
    assert f"{intent.account_id}/history/" in page.get(edited).content.decode()


def test_a_list_rounds_and_tells_the_whole_number_beside(page: Client) -> None:
    sample = EquitySample.objects.create(
        account=factories.account(), equity=Decimal("16986.011165631998017"), at=timezone.now()
    )
    listed = page.get(address(type(sample), "changelist")).content.decode()
    assert '<span title="16986.011165631998017 USD">16,986.01 USD</span>' in listed


def test_signing_in_without_a_page_in_mind_leads_to_the_dashboard(
    client: Client, superuser: User
) -> None:
    superuser.set_password("a-long-password-1")
    superuser.save()
    answer = client.post(
        reverse("admin:login"), {"username": superuser.username, "password": "a-long-password-1"}
    )
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:index"))
