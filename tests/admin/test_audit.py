"""Every change made through the admin says who, through which door, why, and what changed."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from accounts.models import ExchangeAccount, ProxyProfile, RiskEnvelope
from controlplane.base import trail
from hedging.models import HedgeExecution
from monitoring.models import Alert, MonitoringEvent
from strategies.models import StrategyModule
from tests import factories
from tests.admin.forms import errors_of, form_data

pytestmark = pytest.mark.django_db


def change_url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def history_url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_history", args=[row.pk])


def test_an_edit_shows_before_after_actor_and_reason(page: Client) -> None:
    account = factories.account()
    data = form_data(page, change_url(account))
    data |= {"delta_threshold": "0.0007", "change_reason": "Quieter book"}
    response = page.post(change_url(account), data)
    assert errors_of(response) == {}
    newest = trail.entries(account, limit=1)[0]
    assert (newest.actor, newest.surface, newest.reason) == ("root", "admin", "Quieter book")
    assert newest.action == "Changed"
    changes = {change.label: (change.before, change.after) for change in newest.changes}
    assert changes == {"delta threshold, BTC": ("0.0005", "0.0007")}
    html = page.get(history_url(account)).content.decode()
    for text in ("0.0005", "0.0007", "root", "admin", "Quieter book"):
        assert text in html
    event = MonitoringEvent.objects.get(type="config")
    assert event.account_id == account.pk
    assert event.payload["reason"] == "Quieter book"


def test_an_inline_edit_is_the_envelopes_own_history(page: Client) -> None:
    account = factories.account()
    data = form_data(page, change_url(account))
    data |= {"risk_envelope-0-max_leverage": "3", "change_reason": "Less leverage"}
    assert errors_of(page.post(change_url(account), data)) == {}
    envelope = RiskEnvelope.objects.get(account=account)
    newest = trail.entries(envelope, limit=1)[0]
    assert (newest.actor, newest.reason) == ("root", "Less leverage")
    assert [(c.before, c.after) for c in newest.changes] == [("5", "3")]


def test_adding_a_row_says_created(page: Client) -> None:
    data = {"profile_id": "pool-a", "name": "Pool A", "scheme": "http"}
    data |= {"rotation_policy": "manual", "change_reason": "New provider"}
    assert errors_of(page.post(reverse("admin:accounts_proxyprofile_add"), data)) == {}
    newest = trail.entries(ProxyProfile.objects.get(pk="pool-a"), limit=5)
    assert [(e.action, e.actor, e.reason) for e in newest] == [("Created", "root", "New provider")]


def test_deleting_a_row_is_kept_in_the_one_list(page: Client) -> None:
    profile = ProxyProfile.objects.create(profile_id="pool-b", name="Pool B")
    url = reverse("admin:accounts_proxyprofile_delete", args=[profile.pk])
    assert page.get(url).status_code == 200
    assert page.post(url, {"post": "yes", "change_reason": "Not used"}).status_code == 302
    assert not ProxyProfile.objects.exists()
    html = page.get(reverse("admin:base_auditevent_changelist")).content.decode()
    assert "Deleted" in html
    assert "Not used" in html


def test_an_account_with_its_envelope_and_state_can_be_deleted(page: Client) -> None:
    account = factories.account()
    url = reverse("admin:accounts_exchangeaccount_delete", args=[account.pk])
    assert page.post(url, {"post": "yes", "change_reason": "Mistake"}).status_code == 302
    assert not ExchangeAccount.objects.filter(pk=account.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_raw_sql_shows_as_database(page: Client) -> None:
    account = factories.account()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_exchangeaccount SET delta_threshold = 0.001 WHERE account_id = %s",
            [account.pk],
        )
    newest = trail.entries(account, limit=1)[0]
    assert (newest.surface, newest.actor, newest.reason) == ("database", "", "")
    assert [(c.before, c.after) for c in newest.changes] == [("0.0005", "0.001")]
    url = reverse("admin:base_auditevent_changelist")
    assert account.pk in page.get(url, {"surface": "database"}).content.decode()


def test_the_list_filters_by_entity_surface_and_actor(page: Client) -> None:
    account = factories.account()
    data = form_data(page, change_url(account)) | {"account_name": "Renamed"}
    page.post(change_url(account), data)
    url = reverse("admin:base_auditevent_changelist")

    def shown(**query: str) -> int:
        return int(page.get(url, query).context["cl"].result_count)

    assert shown(entity="accounts.ExchangeAccount", surface="admin") == 1
    assert shown(entity="markets.Venue", surface="admin") == 0
    assert shown(q="root") == 1
    assert shown(q="nobody") == 0


def act(page: Client, row: Any, action: str, **data: str) -> Any:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    return page.post(url, {"action": action, "_selected_action": row.pk, **data}, follow=True)


def test_pausing_asks_for_a_reason_and_then_calls_the_verb(page: Client) -> None:
    account = factories.account()
    asked = act(page, account, "pause")
    assert asked.templates[0].name == "admin/confirm_action.html"
    empty = act(page, account, "pause", confirmed="yes", change_reason="")
    assert empty.context["form"].errors == {"change_reason": ["This field is required."]}
    account.refresh_from_db()
    assert account.status == "active"

    act(page, account, "pause", confirmed="yes", change_reason="Venue maintenance")
    account.refresh_from_db()
    assert account.status == "paused"
    newest = trail.entries(account, limit=1)[0]
    assert (newest.action, newest.reason) == ("Account paused", "Venue maintenance")
    assert MonitoringEvent.objects.get(type="account").severity == "WARN"


def test_an_account_in_emergency_is_not_resumed(page: Client) -> None:
    account = factories.account(status="emergency")
    response = act(page, account, "resume", confirmed="yes", change_reason="Try")
    assert "not paused" in response.content.decode()
    account.refresh_from_db()
    assert account.status == "emergency"


def test_module_is_disabled_and_enabled_with_a_reason(page: Client) -> None:
    module = factories.module()
    act(page, module, "disable", confirmed="yes", change_reason="Losing")
    assert StrategyModule.objects.get(pk=module.pk).status == "disable"
    act(page, module, "enable", confirmed="yes", change_reason="Fixed")
    assert StrategyModule.objects.get(pk=module.pk).status == "enable"
    assert [entry.action for entry in trail.entries(module, limit=2)] == [
        "Module enabled",
        "Module disabled",
    ]


def test_an_alert_is_acknowledged_once_by_name(page: Client, superuser: User) -> None:
    event = MonitoringEvent.objects.create(type="system", message="!", severity="CRITICAL")
    alert = Alert.objects.create(event=event)
    act(page, alert, "acknowledge", confirmed="yes", change_reason="Looking")
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by, alert.note) == (
        "acknowledged",
        superuser,
        "Looking",
    )
    again = act(page, alert, "acknowledge", confirmed="yes", change_reason="Again")
    assert "not open" in again.content.decode()


def test_hedging_a_book_of_an_earlier_hedge_evaluates_it(page: Client) -> None:
    account = factories.account()
    hedge = HedgeExecution.objects.create(
        book=f"live:{account.pk}",
        symbol="BTC",
        primary_account=account,
        delta_before=Decimal("0.01"),
        threshold=Decimal("0.0005"),
        trigger_reason="delta",
    )
    asked = act(page, hedge, "hedge_book")
    assert asked.templates[0].name == "admin/confirm_action.html"
    done = act(page, hedge, "hedge_book", confirmed="yes", change_reason="Looks off")
    assert "Done for 1 row." in done.content.decode()
    assert HedgeExecution.objects.count() == 1  # its state is unknown, so nothing is sent


def test_syncing_now_queues_a_sync(page: Client) -> None:
    account = factories.account()
    act(page, account, "sync", confirmed="yes", change_reason="Just deposited")
    assert OrmQ.objects.count() == 1
    assert "Just deposited" in MonitoringEvent.objects.get(type="account").message


def test_an_action_needs_its_own_permission(client: Client) -> None:
    viewer = User.objects.create_user("viewer", password="x" * 20, is_staff=True)
    viewer.user_permissions.set(
        Permission.objects.filter(codename__in=["view_exchangeaccount", "change_exchangeaccount"])
    )
    client.force_login(viewer)
    account = factories.account()
    act(client, account, "pause", confirmed="yes", change_reason="No right to")
    account.refresh_from_db()
    assert account.status == "active"


def test_status_is_changed_by_verbs_only(page: Client) -> None:
    account = factories.account()
    data = form_data(page, change_url(account)) | {"status": "paused"}
    page.post(change_url(account), data)
    account.refresh_from_db()
    assert account.status == "active"


def test_history_survives_a_change_it_cannot_show(page: Client) -> None:
    account = factories.account()
    with pytest.raises(Exception, match="append"), transaction.atomic():
        account.audit_trail.all().delete()  # type: ignore[attr-defined]
    assert page.get(history_url(account)).status_code == 200
