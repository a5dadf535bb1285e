"""A prepared query answers as its queryset would, and its SQL is made once."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from accounts.models import ExchangeAccount
from controlplane.base.prepared import prepared
from tests import factories

pytestmark = pytest.mark.django_db
built: list[str] = []


@prepared
def of_status(account_ids: Any, status: Any) -> QuerySet[ExchangeAccount]:
    built.append("of_status")
    accounts = ExchangeAccount.objects.filter(pk__any=account_ids, status=status)
    return accounts.select_related("exchange").order_by("pk")


@prepared
def locked(account_ids: Any) -> Any:
    rows = ExchangeAccount.objects.select_for_update(of=("self",)).filter(pk__any=account_ids)
    return rows.values_list("pk", "exchange__is_enabled", "status")


@pytest.fixture
def accounts() -> list[ExchangeAccount]:
    return [factories.account(account_id=name) for name in ("a", "b", "c")]


def test_its_sql_is_made_once_and_only_its_parameters_change(
    accounts: list[ExchangeAccount],
) -> None:
    of_status(account_ids=[], status="active")
    built.clear()
    ExchangeAccount.objects.filter(pk="b").update(status="paused")
    asked = [(["a", "b", "gone"], "active"), (["a", "b", "c"], "paused"), ([], "active")]
    found = []
    for account_ids, status in asked:
        with CaptureQueriesContext(connection) as queries:
            rows = of_status(account_ids=account_ids, status=status)
            found.append([(row.pk, row.exchange.pk) for row in rows])
        assert len(queries) == 1
    (a, b, _) = accounts
    assert found == [[("a", a.exchange_id)], [("b", b.exchange_id)], []]
    assert built == []


def test_each_asking_gives_out_objects_of_its_own(accounts: list[ExchangeAccount]) -> None:
    one, other = (of_status.first(account_ids=["a"], status="active") for _ in range(2))
    assert one == other == accounts[0]
    one.status = "paused"
    assert other.status == "active"
    assert of_status.first(account_ids=["a"], status="gone") is None


def test_none_is_refused_because_nothing_equals_it() -> None:
    with pytest.raises(ValueError, match="no None"):
        of_status(account_ids=["a"], status=None)


def test_a_thread_asks_on_its_own_connection(accounts: list[ExchangeAccount]) -> None:
    of_status(account_ids=["a"], status="active")
    seen: list[int] = []

    def ask() -> None:
        try:
            # Rows of this test's transaction: no other connection sees them.
            seen.append(len(of_status(account_ids=["a"], status="active")))
        finally:
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert seen == [0]


@pytest.mark.django_db(transaction=True)
def test_a_lock_outside_a_transaction_is_refused_each_time() -> None:
    factories.account(account_id="a")
    with transaction.atomic():
        ((name, is_enabled, _),) = locked(account_ids=["a"])
    assert (name, is_enabled) == ("a", True)
    with pytest.raises(TransactionManagementError):
        locked(account_ids=["a"])
