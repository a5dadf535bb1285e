"""The button of the admin: confirmed and with a reason, or nothing happens."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from hedging.models import EmergencyStop
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
