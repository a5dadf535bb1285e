"""C10, C11 · Two builds at once, and a backup put back: our record is not all there is."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import IntegrityError, connection, connections, transaction

from accounts.lifecycle import account_resume
from accounts.models import ExchangeAccount, Position
from controlplane import setback
from controlplane.sentinel import Sentinel, StepReport
from hedging.models import Fill, ReconciliationBreak
from monitoring.models import MonitoringEvent, RecordMark
from strategies import claims
from tests.clients import forget_clients
from tests.faults.conftest import ACTOR, Stage, place

D = Decimal


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path)
    return tmp_path


ALONE = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid()
"""


@contextmanager
def backup() -> Iterator[str]:
    """Copy the database as it is now; yields the copy's name."""
    own, copy = connection.settings_dict["NAME"], f"backup_{os.getpid()}"
    connections.close_all()
    asyncio.run(sync_to_async(connections.close_all)())  # that thread outlives this test
    with connection._nodb_cursor() as cursor:
        cursor.execute(ALONE, [own])  # what a thread of the sends' still holds
        cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{own}"')
    try:
        yield copy
    finally:
        put_back(own)
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')


def put_back(name: str) -> None:
    """Go on with another database, as after a restore."""
    forget_clients()
    connections.close_all()
    connection.settings_dict["NAME"] = name


def started() -> Sentinel:
    """Do the first round of a sentinel that has just started."""
    sentinel = Sentinel()
    sentinel.run(Once(), told=errors)
    return sentinel


class Once(threading.Event):
    """Lets one round happen."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def errors(reports: Sequence[StepReport]) -> None:
    assert [report.error for report in reports if report.error] == []


def test_c11_a_backup_put_back_opens_nothing_until_a_person_has_looked(stage: Stage) -> None:
    started()
    stage.quote()
    waiting = stage.wish(amount=D("0.04"), side="sell", reduce_only=True)
    resting = stage.rest()
    with backup() as copy:
        # The hour that the backup does not know.
        assert stage.submit(waiting) == ("filled", "acknowledged")
        assert stage.submit(resting) == ("submitted", "acknowledged")
        later = stage.wish(amount=D("0.02"))
        assert stage.submit(later) == ("filled", "acknowledged")
        unknown = stage.rest(amount=D("0.03"))
        assert stage.submit(unknown) == ("submitted", "acknowledged")
        Sentinel().record()
        orders = stage.requests("POST", "order")

        put_back(copy)
        assert place(waiting) == ("pending", "none")  # as the backup has it
        started()
        told = MonitoringEvent.objects.get(payload__code="record_set_back")
        assert (told.severity, told.payload["lost"]) == ("CRITICAL", 1)
        assert ExchangeAccount.objects.get().status == "paused"
        (paused,) = MonitoringEvent.objects.filter(payload__action="account.paused")
        assert paused.payload["reason"].startswith("the record was set back")
        assert place(waiting) == place(resting) == ("cancelled", "none")
        for intent in (waiting, resting):  # the queue was put back too
            stage.submit(intent)
        assert stage.submit(stage.wish(amount=D("0.05"))) == ("failed", "none")
        assert stage.requests("POST", "order") == orders

        stage.sync()
        assert Position.objects.get(size__gt=0).size == D("0.48")  # 0.5 - 0.04 + 0.02
        assert sorted(Fill.objects.external().values_list("amount", flat=True)) == [
            D("0.02"),
            D("0.04"),
        ]
        breaks = ReconciliationBreak.objects.open().values_list("kind", "details__clientOrderId")
        assert ("order-unknown-to-us", unknown.client_order_id) in list(breaks)

        started()  # it tells and pauses once
        assert MonitoringEvent.objects.filter(payload__code="record_set_back").count() == 1
        account_resume(account=stage.account, actor=ACTOR, reason="looked through it")
        stage.sync()
        assert stage.submit(stage.wish(amount=D("0.06"))) == ("filled", "acknowledged")


def test_c11_an_order_of_ours_that_nobody_knows_pauses_its_account_once(stage: Stage) -> None:
    resting = stage.rest()
    assert stage.submit(resting) == ("submitted", "acknowledged")
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET LOCAL session_replication_role = replica")  # as if never written
        cursor.execute("DELETE FROM strategies_orderintent")
    stage.sync()
    assert ExchangeAccount.objects.get().status == "paused"
    assert stage.submit(stage.wish(amount=D("0.02"))) == ("failed", "none")
    account_resume(account=stage.account, actor=ACTOR, reason="seen")
    stage.sync()
    assert ExchangeAccount.objects.get().status == "active"
    assert stage.submit(stage.wish(amount=D("0.03"))) == ("filled", "acknowledged")


def test_c11_an_intent_that_waited_too_long_is_not_sent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(minutes=2) == claims.EVER_WITHIN
    monkeypatch.setattr(claims, "EVER_WITHIN", timedelta(0))
    for shrinks in (False, True):
        intent = stage.wish(side="sell", reduce_only=shrinks)
        assert stage.submit(intent) == ("failed", "none")
        assert intent.reason.startswith("INTENT_TOO_OLD: ")
    assert stage.requests("POST", "order") == 0


def test_c11_another_record_and_a_file_that_cannot_be_read_are_no_setback(
    stage: Stage, var: Path
) -> None:
    assert not setback.record_watch(actor=ACTOR)
    mark = RecordMark.objects.get()
    assert mark.number == 1
    (var / setback.FILE).write_text("nonsense")
    assert not setback.record_watch(actor=ACTOR)
    RecordMark.objects.all().delete()  # a new database
    assert not setback.record_watch(actor=ACTOR)
    assert ExchangeAccount.objects.get().status == "active"


OLD_BUILD_CLAIMS = """
    UPDATE strategies_orderintent
    SET state = 'submitted', submission = 'sending', claim_fence = claim_fence + 1,
        claimed_by = 'an-older-build', signed_at = now(), expires_at = now() + interval '15 s'
    WHERE intent_id = %s AND state = 'pending' AND submission = 'none'
"""


def test_c10_what_another_build_claimed_is_not_sent(stage: Stage) -> None:
    intent = stage.wish()
    with connection.cursor() as cursor:
        cursor.execute(OLD_BUILD_CLAIMS, [intent.pk])
        assert cursor.rowcount == 1
    assert stage.submit(intent) == ("submitted", "sending")
    assert stage.requests("POST", "order") == 0


def test_c10_the_database_refuses_a_second_claim_whatever_the_build(stage: Stage) -> None:
    intent = stage.wish()
    assert stage.submit(intent) == ("filled", "acknowledged")
    again = OLD_BUILD_CLAIMS.split("WHERE")[0] + "WHERE intent_id = %s"
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="illegal move"):
        cursor.execute(again, [intent.pk])
    claimed = stage.wish(amount=D("0.02"))
    with connection.cursor() as cursor:
        cursor.execute(OLD_BUILD_CLAIMS, [claimed.pk])
        with pytest.raises(IntegrityError, match="a claim does not change"):
            cursor.execute(again, [claimed.pk])
    assert stage.requests("POST", "order") == 1
