"""G · PostgreSQL refuses: no room, deadlocks, read-only, slow pages, migrations in between."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import (
    Error,
    InternalError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
)
from django.db.backends.signals import connection_created

from accounts.models import ExchangeAccount
from controlplane.base import attempts
from controlplane.base.sessions import statements_limit
from controlplane.bus import listening_parameters
from controlplane.database_watch import DatabaseWatch
from controlplane.management.commands import migrate
from controlplane.supervision import programs
from hedging.emergency import spool
from markets.venues.paper.faults import Fault, FaultKind, Topic
from monitoring.models import MonitoringEvent
from strategies import execution
from strategies.failover import intent_cancel
from strategies.models import OrderIntent
from tests.faults.conftest import ACTOR, Stage, place
from tests.faults.test_database import recovered
from tests.faults.test_stop_offline import ROOT, var

__all__ = ["var"]
D = Decimal
SECONDS = 30.0


class Beside:
    """A connection of somebody else's."""

    def __init__(self) -> None:
        self.line = psycopg.connect(**{**listening_parameters(), "autocommit": False})

    def lock(self, table: str, key: str, value: object) -> None:
        """Lock a row until `close`."""
        query = f"SELECT 1 FROM {table} WHERE {key} = %s FOR UPDATE"  # noqa: S608 - our own names
        self.line.execute(query, [value])

    def close(self) -> None:
        if not self.line.closed:
            self.line.rollback()
            self.line.close()


@pytest.fixture
def beside(stage: Stage) -> Iterator[Beside]:
    with closing(Beside()) as made:
        yield made


def set_up(**params: str) -> Callable[..., None]:
    """Return what sets parameters of a new connection."""

    def apply(connection: Any, **_named: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in params.items():
                cursor.execute(f"SET {name} = '{value}'")

    return apply


def submitting(intent: OrderIntent, **params: str) -> tuple[threading.Thread, list[Exception]]:
    """Begin to submit on a thread whose connection has these parameters."""
    errors: list[Exception] = []
    applied = set_up(**params)

    def work() -> None:
        connection_created.connect(applied)
        try:
            execution.intent_submit(intent_id=intent.pk, actor=ACTOR)
        except Error as error:
            errors.append(error)
        finally:
            connection_created.disconnect(applied)
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, errors


def attempt_counts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the state of every transaction that is found undone."""
    seen: list[str] = []
    ask = attempts.is_undone

    def noting(error: OperationalError) -> bool:
        seen.append(str(getattr(error.__cause__, "sqlstate", "")))
        return ask(error)

    monkeypatch.setattr(attempts, "is_undone", noting)
    return seen


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "It did not come about in time."
        time.sleep(0.02)


def test_g01_a_lock_not_to_be_had_sends_nothing_and_the_next_time_is_the_first(
    stage: Stage, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = attempt_counts(monkeypatch)
    stage.quote()
    intent = stage.wish()
    beside.lock("accounts_exchangeaccount", "account_id", "alpha")
    thread, errors = submitting(intent, lock_timeout="150ms")
    thread.join(SECONDS)
    assert [type(error) for error in errors] == [OperationalError]
    assert seen == ["55P03", "55P03"]  # and the third attempt's is the caller's
    assert place(intent) == ("pending", "none")
    assert stage.requests("POST", "order") == 0
    beside.close()
    assert stage.submit(intent) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1
    stage.sync()
    stage.verify()


def test_g01_a_deadlock_is_undone_and_done_again_and_sends_once(
    stage: Stage, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = attempt_counts(monkeypatch)
    stage.quote()
    intent = stage.wish()
    beside.line.execute("SET deadlock_timeout = '60s'")  # the other one is to be the victim
    beside.lock("strategies_orderintent", "intent_id", intent.pk)
    thread, errors = submitting(intent, deadlock_timeout="100ms")
    until(lambda: _is_waiting("strategies_orderintent"))
    beside.lock("accounts_exchangeaccount", "account_id", "alpha")
    until(lambda: bool(seen))
    beside.close()
    thread.join(SECONDS)
    assert errors == []
    assert seen == ["40P01"]
    assert place(intent) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1
    stage.sync()
    stage.verify()


def test_g01_a_serialization_failure_is_done_again_and_sends_once(
    stage: Stage, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = attempt_counts(monkeypatch)
    stage.quote()
    intent = stage.wish()
    beside.line.execute(
        "UPDATE accounts_exchangeaccount SET account_name = 'renamed' WHERE account_id = 'alpha'"
    )
    thread, errors = submitting(intent, default_transaction_isolation="repeatable read")
    until(lambda: _is_waiting("accounts_exchangeaccount"))
    beside.line.commit()
    thread.join(SECONDS)
    assert errors == []
    assert seen == ["40001"]
    assert place(intent) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1


def test_g01_an_answer_whose_row_is_locked_is_asked_for_again(stage: Stage, beside: Beside) -> None:
    slow = Fault(FaultKind.LATENCY, topic=Topic.PLACE, delay_ms=800)
    stage.paper.do(lambda: stage.paper.server.faults.add(slow))
    stage.quote()
    intent = stage.wish()
    thread, errors = submitting(intent, lock_timeout="100ms")
    until(lambda: place(intent) == ("submitted", "sending"))
    beside.lock("strategies_orderintent", "intent_id", intent.pk)
    thread.join(SECONDS)
    assert [type(error) for error in errors] == [OperationalError]
    beside.close()
    stage.mend()
    assert recovered(intent) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1
    stage.sync()
    stage.verify()


@contextmanager
def a_role(limit: int) -> Iterator[str]:
    """Make a role that may have so many connections and do all that ours may."""
    name = f"faults_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {limit}")
        cursor.execute(f"GRANT pg_read_all_data, pg_write_all_data TO {name}")
    try:
        yield name
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE {name}")


def test_g01_too_many_connections_send_nothing_and_lose_nothing(stage: Stage) -> None:
    stage.quote()
    intent = stage.wish()
    owner = type(connections["default"])
    direct = owner.get_connection_params
    main = threading.current_thread()

    with a_role(0) as role:

        def params(self: Any) -> dict[str, object]:
            found: dict[str, object] = direct(self)
            is_other = threading.current_thread() is not main
            return found | {"user": role} if is_other else found

        with mock.patch.object(owner, "get_connection_params", params):
            thread, errors = submitting(intent)
            thread.join(SECONDS)
    assert ["too many connections" in str(error) for error in errors] == [True]
    assert place(intent) == ("pending", "none")
    assert stage.requests("POST", "order") == 0
    assert stage.submit(intent) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1


@contextmanager
def read_only() -> Iterator[None]:
    """Let nobody write from now on, as on a full disk or after a failover to a replica."""
    name = connection.settings_dict["NAME"]

    def switch(verb: str, to: str = "") -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f'ALTER DATABASE "{name}" {verb} default_transaction_read_only{to}')
        connections.close_all()

    switch("SET", " = on")
    try:
        yield
    finally:
        switch("RESET")


def test_g03_on_a_read_only_database_nothing_new_is_sent_and_cancels_are(
    stage: Stage,
) -> None:
    resting = stage.rest()
    assert stage.submit(resting) == ("submitted", "acknowledged")
    stage.quote()
    waiting = stage.wish(amount=D("0.02"))
    with read_only():
        for attempt in (
            lambda: stage.wish(amount=D("0.03")),
            lambda: execution.intent_submit(intent_id=waiting.pk, actor=ACTOR),
        ):
            with pytest.raises(InternalError, match="read-only"):
                attempt()
        assert stage.requests("POST", "order") == 1
        with pytest.raises(InternalError, match="read-only"):
            intent_cancel(intent_id=resting.pk, actor=ACTOR)  # sent, only not written down
        assert not stage.paper.server.core.engine.accounts["alpha"].open_orders
    assert place(waiting) == ("pending", "none")
    intent_cancel(intent_id=resting.pk, actor=ACTOR)  # the venue has none: it is looked up
    assert place(resting) == ("cancelled", "acknowledged")
    stage.sync()
    stage.verify()


@contextmanager
def slow_commits(seconds: float) -> Iterator[None]:
    """Let each commit that moved an intent take so long, as on a disk whose fsync is slow.

    The wait is at the commit itself: until it is over nobody else sees the row, and nothing is
    known to be kept.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slow_disk() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER slow_disk AFTER UPDATE ON strategies_orderintent "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_disk()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION slow_disk() CASCADE")


def test_g03_a_commit_of_seconds_sends_nothing_before_it_is_over_nor_an_old_order_after(
    stage: Stage,
) -> None:
    """Nothing new is opened on a slow disk; the order that was held up is proven unsent."""
    intent = stage.wish()
    stage.quote()
    with slow_commits(4):
        thread, errors = submitting(intent)
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until = time.monotonic() + SECONDS
        waiting = 0
        while not waiting:
            assert time.monotonic() < until
            with connection.cursor() as cursor:
                cursor.execute(asleep + " AND datname = current_database()")
                (waiting,) = cursor.fetchone()
        assert place(intent) == ("pending", "none")  # the claim is not kept yet
        assert stage.requests("POST", "order") == 0
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert errors == []
    assert place(intent) == ("failed", "none")
    assert intent.reason.startswith("CLAIM_TOO_OLD: ")
    assert stage.requests("POST", "order") == 0
    assert stage.submit(stage.wish(amount=D("0.02"))) == ("filled", "acknowledged")
    stage.sync()
    stage.verify()


def test_g03_on_a_slow_disk_a_cancel_leaves_before_it_is_written_down(stage: Stage) -> None:
    resting = stage.rest()
    assert stage.submit(resting) == ("submitted", "acknowledged")

    def cancel() -> None:
        try:
            intent_cancel(intent_id=resting.pk, actor=ACTOR)
        finally:
            connections.close_all()

    with slow_commits(4):
        thread = threading.Thread(target=cancel)
        thread.start()
        until = time.monotonic() + SECONDS
        while stage.paper.server.core.engine.accounts["alpha"].open_orders:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert place(resting) == ("submitted", "acknowledged")
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert place(resting) == ("cancelled", "acknowledged")


def test_g03_the_stop_command_works_on_a_read_only_database(stage: Stage, var: Any) -> None:
    assert stage.submit(stage.rest()) == ("submitted", "acknowledged")
    assert spool.routes_write() == 1
    params = connection.get_connection_params()
    with read_only():
        done = subprocess.run(
            [sys.executable, "-c", STOP, str(params["dbname"]), str(var)],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
                "FERNET_KEYS": ",".join(settings.FERNET_KEYS),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 1, done.stderr
    assert "read-only transaction" in done.stderr  # it was the database that was asked
    assert done.stdout.strip() == '{"database": false, "accounts": {"alpha": ""}}', done.stderr
    assert not stage.paper.server.core.engine.accounts["alpha"].open_orders
    asked = spool.asked_read()
    assert asked is not None
    assert asked.reason == "fire"


STOP = """
import pathlib, sys, django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
settings.VAR_DIR = pathlib.Path(sys.argv[2])
try:
    call_command("emergency_stop", scope="all", reason="fire", json=True)
except CommandError as refusal:
    sys.stderr.write(str(refusal.__context__))
    sys.exit(refusal.returncode)
"""


def test_g07_a_slow_page_is_cancelled_and_orders_keep_their_connections(stage: Stage) -> None:
    statements_limit(0.2)
    try:
        connection.close()
        with connection.cursor() as cursor, pytest.raises(OperationalError, match="timeout"):
            cursor.execute("SELECT pg_sleep(30)")
        close_old_connections()
        assert ExchangeAccount.objects.count() == 1
    finally:
        connection_created.disconnect(dispatch_uid="statements_limit")
        connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)  # a worker's own


def test_g07_the_web_program_limits_its_statements(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daphne.server.Server.run", lambda self: None)  # it would not end
    try:
        programs.serve(host="127.0.0.1", port=0)
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("30s",)
    finally:
        connection_created.disconnect(dispatch_uid="statements_limit")
        connection.close()


def test_g08_what_would_stop_postgresql_is_told_of_once(stage: Stage, beside: Beside) -> None:
    beside.line.execute("SELECT 1")
    watch = DatabaseWatch(long=timedelta(0), oldest=0)
    assert watch.look() == 2
    assert watch.look() == 0
    told = MonitoringEvent.objects.filter(payload__code="database").order_by("event_id")
    kinds = [(event.payload["trouble"].split()[0], event.severity) for event in told]
    assert kinds == [("transaction", "WARN"), ("freeze", "CRITICAL")]
    beside.close()
    calm = DatabaseWatch()
    assert calm.look() == 0


def test_g09_a_migration_waits_two_seconds_for_a_table_and_then_lets_orders_through(
    stage: Stage, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside.line.execute("SELECT count(*) FROM strategies_orderintent")  # a report, still open
    tries: list[float] = []

    def alters(self: Any, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE strategies_orderintent ADD COLUMN extra integer")
        finally:
            tries.append(time.monotonic() - began)

    monkeypatch.setattr("django.core.management.commands.migrate.Command.handle", alters)
    monkeypatch.setattr(migrate, "TIMES", 2)
    stage.quote()
    intent = stage.wish()
    thread = threading.Thread(target=_late, args=(intent,))
    thread.start()
    with pytest.raises(CommandError, match="in use all the time"):
        call_command("migrate", stderr=StringIO())
    thread.join(SECONDS)
    assert len(tries) == 2
    assert min(tries) >= 1.9  # it waited for the lock, and not for ever
    assert place(intent) == ("filled", "acknowledged")
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
    beside.close()

    def nothing(self: Any, *args: Any, **options: Any) -> None:
        tries.append(0.0)

    monkeypatch.setattr("django.core.management.commands.migrate.Command.handle", nothing)
    call_command("migrate")
    assert len(tries) == 3


def _late(intent: OrderIntent) -> None:
    """Submit while the change of the table waits and everybody waits behind it."""
    try:
        execution.intent_submit(intent_id=intent.pk, actor=ACTOR)
    finally:
        connections.close_all()


def _is_waiting(table: str) -> bool:
    """Tell whether somebody's statement on a table waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock' AND query LIKE %s",
            [f"%{table}%"],
        )
        return bool(cursor.fetchone()[0])
