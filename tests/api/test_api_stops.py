"""Emergency stops over the API: each act has a permission of its own; nonsense stops nothing."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AccountState, ExchangeAccount
from hedging.models import EmergencyStop, StoppedAccount
from strategies.models import StrategyModule
from tests import factories

PATH = "/api/v1/emergency-stops/"
SEE = ("view_emergencystop", "view_stoppedaccount")


def test_engaging_and_releasing_need_their_own_permissions(
    client_with: Callable[..., APIClient],
) -> None:
    account = factories.account()
    body = {"scope": "account", "target": account.pk, "reason": "fire"}
    for codenames in (SEE, (*SEE, "release_emergencystop"), ("engage_emergencystop",)):
        assert client_with(*codenames).post(PATH, body).status_code == 403
    assert not EmergencyStop.objects.exists()

    engager = client_with(*SEE, "engage_emergencystop")
    made = engager.post(PATH, body)
    assert made.status_code == 201
    told = made.json()
    assert (told["scope"], told["target"], told["state"]) == ("account", account.pk, "engaged")
    assert (told["trigger"], told["flatten"], told["drill"]) == ("manual", True, False)
    account.refresh_from_db()
    assert account.status == "emergency"
    (row,) = engager.get(f"/api/v1/stopped-accounts/?stopId={told['stopId']}").json()["results"]
    assert (row["accountId"], row["priorStatus"], row["confirmedAt"]) == (
        account.pk,
        "active",
        None,
    )
    assert engager.post(PATH, body).json()["stopId"] == told["stopId"]  # pulled twice, one stop

    path = f"{PATH}{told['stopId']}/release/"
    assert engager.post(path, {"reason": "over"}).status_code == 403
    releaser = client_with(*SEE, "release_emergencystop")
    refused = releaser.post(path, {"reason": "over"})
    assert (refused.status_code, refused.json()["details"]) == (409, {"accounts": [account.pk]})
    StoppedAccount.objects.update(state="cancelling")
    StoppedAccount.objects.update(state="verifying")
    StoppedAccount.objects.update(state="latched", confirmed_at=timezone.now())
    AccountState.objects.update(reconciled_at=timezone.now())
    assert releaser.post(path, {}).status_code == 400
    released = releaser.post(path, {"reason": "over"})
    assert (released.status_code, released.json()["state"]) == (200, "released")
    account.refresh_from_db()
    assert account.status == "active"


@pytest.mark.parametrize(
    ("change", "status", "where"),
    [
        ({"scope": "world"}, 400, "scope"),
        ({"scope": None}, 400, "scope"),
        ({"reason": " "}, 400, "reason"),
        ({"reason": "a\x00"}, 400, "reason"),
        ({"flatten": "maybe"}, 400, "flatten"),
        ({"trigger": "margin"}, 400, "trigger"),
        ({"target": "nobody"}, 422, "UNKNOWN_TARGET"),
        ({"target": "x" * 81}, 400, "target"),
        ({"scope": "all"}, 422, "TARGET_NOT_EXPECTED"),
        ({"scope": "book"}, 422, "UNKNOWN_TARGET"),
        ({"scope": "module", "target": ""}, 422, "UNKNOWN_TARGET"),
    ],
)
def test_a_wrong_stop_is_refused_and_stops_nothing(
    change: dict[str, object],
    status: int,
    where: str,
    client_with: Callable[..., APIClient],
) -> None:
    account = factories.account()
    client = client_with(*SEE, "engage_emergencystop")
    body = {"scope": "account", "target": account.pk, "reason": "fire", **change}
    answer = client.post(PATH, body)
    assert answer.status_code == status
    assert where in (answer.json()["details"] if status == 400 else {answer.json()["code"]: 1})
    assert not EmergencyStop.objects.exists()
    assert set(ExchangeAccount.objects.values_list("status", flat=True)) == {"active"}


def test_a_stopped_module_is_disabled_and_its_accounts_keep_their_status(
    client_with: Callable[..., APIClient],
) -> None:
    allocation = factories.allocation()
    module, account = allocation.module, allocation.account
    client = client_with(*SEE, "engage_emergencystop")
    made = client.post(PATH, {"scope": "module", "target": module.pk, "reason": "wild"})
    assert made.status_code == 201
    assert StrategyModule.objects.get(pk=module.pk).status == "disable"
    account.refresh_from_db()
    assert account.status == "active"
    assert StoppedAccount.objects.get().account_id == account.pk
