"""The button of the admin: confirmed and with a reason, or nothing happens."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from hedging.emergency.scopes import book_of
from hedging.models import EmergencyStop, HedgeExecution
from tests import factories

ENGAGE = reverse("admin:hedging_emergencystop_engage")


def given(**fields: str) -> dict[str, str]:
    asked = {"scope": "all", "target": "", "flatten": "on", "change_reason": "fire", "sure": "on"}
    return {**asked, **fields}


def test_the_button_stops_once_confirmed_with_a_reason(page: Client) -> None:
    account = factories.account()
    asked = page.get(ENGAGE, {"scope": "account", "target": account.pk}).content.decode()
    assert f'value="{account.pk}"' in asked
    for wrong in (
        given(sure=""),
        given(change_reason=" "),
        given(scope="world"),
        given(target=account.pk),
        given(scope="book", target="live:nobody"),
    ):
        assert page.post(ENGAGE, wrong).status_code == 200
        assert not EmergencyStop.objects.exists()
    done = page.post(ENGAGE, given())
    stop = EmergencyStop.objects.get()
    assert done["Location"] == reverse("admin:hedging_emergencystop_change", args=[stop.pk])
    assert (stop.scope, stop.reason, stop.engaged_by, stop.flatten) == ("all", "fire", "root", True)
    account.refresh_from_db()
    assert account.status == "emergency"
    shown = page.get(done["Location"]).content.decode()
    assert "NOT confirmed" in shown


def test_the_button_needs_its_permission(db: None) -> None:
    user = User.objects.create_user("ann", password="x" * 20, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_emergencystop"))
    client = Client()
    client.force_login(user)
    listed = reverse("admin:hedging_emergencystop_changelist")
    assert "STOP…" not in client.get(listed).content.decode()
    assert client.get(ENGAGE).status_code == client.post(ENGAGE, given()).status_code == 403
    assert not EmergencyStop.objects.exists()
    user.user_permissions.add(Permission.objects.get(codename="engage_emergencystop"))
    assert "STOP…" in client.get(listed).content.decode()


@pytest.mark.parametrize("reason", ["", "a\x00"])
def test_a_release_in_the_admin_asks_for_a_reason(page: Client, reason: str) -> None:
    factories.account()
    page.post(ENGAGE, given())
    stop = EmergencyStop.objects.get()
    answer = page.post(
        reverse("admin:hedging_emergencystop_changelist"),
        {"action": "release", "_selected_action": str(stop.pk), "confirmed": "yes",
         "change_reason": reason},
    )  # fmt: skip
    assert answer.status_code == 200
    stop.refresh_from_db()
    assert stop.state == "engaged"


def test_pages_of_accounts_and_hedges_lead_to_a_form_that_is_filled_in(page: Client) -> None:
    account = factories.account()
    module = factories.module(dry_run_enabled=False)
    other = factories.account()
    for allocated in (account, other):
        factories.allocation(module=module, account=allocated)
    hedge = HedgeExecution.objects.create(
        book=book_of(account.pk), symbol="BTC", primary_account=account, delta_before=1,
        threshold=1, trigger_reason="delta",
    )  # fmt: skip
    ways: tuple[tuple[Model, str, str, str], ...] = (
        (account, "stop_account", "account", account.pk),
        (account, "stop_book", "book", book_of(account.pk)),
        (hedge, "stop_book", "book", hedge.book),
    )
    for row, button, scope, target in ways:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        address = reverse(f"{name}_{button}", args=[row.pk])
        assert address in page.get(reverse(f"{name}_change", args=[row.pk])).content.decode()
        asked = page.get(address, follow=True)
        assert asked.redirect_chain[0][0].startswith(ENGAGE)
        assert asked.context["form"].initial == {"scope": scope, "target": target}
        assert page.get(reverse(f"{name}_{button}", args=["nobody"])).status_code in {302, 404}
    assert not EmergencyStop.objects.exists()


def test_stop_buttons_need_the_permission_to_stop(db: None) -> None:
    account = factories.account()
    user = User.objects.create_user("ann", password="x" * 20, is_staff=True)
    for codename in ("view_exchangeaccount", "view_hedgeexecution"):
        user.user_permissions.add(Permission.objects.get(codename=codename))
    client = Client()
    client.force_login(user)
    shown = reverse("admin:accounts_exchangeaccount_change", args=[account.pk])
    button = reverse("admin:accounts_exchangeaccount_stop_account", args=[account.pk])
    home = reverse("admin:index")
    assert button not in client.get(shown).content.decode()
    assert client.get(button).status_code == 403
    assert "may-stop" not in client.get(home).content.decode()
    user.user_permissions.add(Permission.objects.get(codename="engage_emergencystop"))
    assert button in client.get(shown).content.decode()
    told = client.get(home).content.decode()
    assert "may-stop" in told
    assert f"scope=account&amp;target={account.pk}" in told


def test_the_console_names_standing_stops_and_who_is_not_confirmed(page: Client) -> None:
    account = factories.account()
    page.post(ENGAGE, given())
    told = page.get(reverse("admin:index")).content.decode()
    assert "STOP all stands" in told
    assert f"NOT confirmed: {account.pk}" in told
