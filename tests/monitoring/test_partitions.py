"""Events live in partitions by day; a day goes only when it is 90 days old."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from controlplane.kernel.errors import Denied
from controlplane.kernel.ids import uuid7_floor
from monitoring import partitions
from monitoring.domain import retention
from monitoring.models import MonitoringEvent

pytestmark = pytest.mark.django_db
TODAY = date(2026, 5, 20)


def add_event(day: date) -> MonitoringEvent:
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return MonitoringEvent.objects.create(
        event_id=uuid7_floor(moment), type="system", message="x", created_at=moment
    )


def table_of(event: MonitoringEvent) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM monitoring_monitoringevent WHERE event_id = %s",
            [event.pk],
        )
        return str(cursor.fetchone()[0])


def test_events_of_a_day_move_into_its_partition_when_it_is_made() -> None:
    event = add_event(TODAY)
    assert table_of(event) == partitions.REST
    assert partitions.ensure(today=TODAY) == retention.days_needed(TODAY)
    assert table_of(event) == "monitoring_monitoringevent_20260520"
    assert MonitoringEvent.objects.count() == 1
    assert partitions.ensure(today=TODAY) == []


@pytest.fixture
def without_traces() -> Iterator[date]:
    """A day whose partitions, made for good, are taken away again."""
    day = date(2027, 1, 5)
    yield day
    with connection.cursor() as cursor:
        for each in retention.days_needed(day):
            cursor.execute(f"DROP TABLE {partitions.PARENT}_{each:%Y%m%d}")


@pytest.mark.django_db(transaction=True)
def test_event_written_while_its_day_is_made_waits_and_is_kept(without_traces: date) -> None:
    def write() -> MonitoringEvent:
        try:
            return add_event(without_traces)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as writer:
        with transaction.atomic():
            partitions.ensure(today=without_traces)
            writing = writer.submit(write)
            until = time.monotonic() + 20
            while not is_waited_for():
                assert time.monotonic() < until
                time.sleep(0.01)
        event = writing.result(20)
    assert table_of(event) == f"{partitions.PARENT}_20270105"


def is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted"
            " AND relation = ANY(%s::regclass[])"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [[partitions.PARENT, partitions.REST]],
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("made", [False, True], ids=["default partition", "day's partition"])
def test_events_refuse_change_and_removal_in_every_partition(made: bool) -> None:
    if made:
        partitions.ensure(today=TODAY)
    event = add_event(TODAY)
    for change in (
        lambda: MonitoringEvent.objects.filter(pk=event.pk).update(message="y"),
        lambda: MonitoringEvent.objects.filter(pk=event.pk).delete(),
    ):
        with pytest.raises(Error, match="Cannot update or delete"), transaction.atomic():
            change()
    event.refresh_from_db()
    assert event.message == "x"


def test_only_days_past_keeping_are_dropped() -> None:
    old, kept = TODAY - timedelta(days=91), TODAY - timedelta(days=90)
    partitions.ensure(today=old)
    add_event(old)
    survivor = add_event(kept)
    assert partitions.drop(today=TODAY, kept_days=90) == [old]
    assert list(MonitoringEvent.objects.all()) == [survivor]


def test_fewer_than_ninety_days_are_refused() -> None:
    with pytest.raises(Denied):
        partitions.drop(today=TODAY, kept_days=89)
    with pytest.raises(CommandError) as refusal:
        call_command("prune_events", "--days", "10")
    assert refusal.value.returncode == 2


def test_prune_events_reports_what_it_did() -> None:
    output = StringIO()
    call_command("prune_events", "--json", stdout=output)
    assert len(json.loads(output.getvalue())["made"]) == retention.DAYS_AHEAD + 1
