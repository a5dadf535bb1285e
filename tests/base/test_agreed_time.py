"""What is told in this process is the database's time, wherever its own clock stands."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from controlplane import doctor
from controlplane.base import agreed_time
from controlplane.base.agreed_time import clock_look
from controlplane.clock_watch import ClockWatch
from controlplane.doctor import Verdict
from controlplane.kernel.clock import AGREED_CLOCK, SYSTEM_CLOCK
from controlplane.kernel.ids import uuid7, uuid7_time
from monitoring.models import MonitoringEvent
from tests import factories

CLOSE = timedelta(seconds=20)
"""Of what is told by a right clock, on a busy machine; a wrong one is a minute off."""

pytestmark = pytest.mark.django_db


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Set this process's wall clock so many seconds ahead."""
    right = time.time_ns
    monkeypatch.setattr(agreed_time, "_LOG", agreed_time._Log())

    def shift(seconds: int) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: right() + seconds * 1_000_000_000)

    clock_look()
    yield shift
    monkeypatch.undo()
    clock_look()


def another_connection() -> None:
    made = connection.copy()
    made.connect()
    made.close()


def is_right(moment: datetime) -> bool:
    return abs(datetime.now(UTC) - moment) <= CLOSE


@pytest.mark.parametrize("seconds", [60, -60])
def test_everything_is_told_by_the_databases_clock(
    wrong: Callable[[int], None], seconds: int
) -> None:
    wrong(seconds)
    assert is_right(timezone.now())
    assert is_right(SYSTEM_CLOCK.now())
    assert is_right(uuid7_time(uuid7()))
    made = factories.account()
    made.refresh_from_db()
    assert is_right(made.created_at)
    assert MonitoringEvent._meta.get_field("created_at").default is timezone.now


@pytest.mark.parametrize(
    "begin", [lambda: Client().get("/healthz"), another_connection, clock_look]
)
def test_the_databases_clock_is_read_when_something_begins(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[int], None], begin: Callable[[], None]
) -> None:
    monkeypatch.setattr(AGREED_CLOCK, "_reading", None)
    wrong(60)
    assert not is_right(timezone.now())
    begin()
    assert is_right(timezone.now())


def test_a_clock_that_is_off_is_told_of_once_and_so_is_its_return(
    wrong: Callable[[int], None],
) -> None:
    watch = ClockWatch()
    assert watch.look() == 0
    for seconds in (60, 60, 1, 0, 0):
        wrong(seconds)
        watch.look()
    told = MonitoringEvent.objects.filter(payload__code="clock_off").order_by("pk")
    assert [(it.severity, round(it.payload["aheadMs"], -3)) for it in told] == [
        ("CRITICAL", 60_000),
        ("INFO", 0),
    ]


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, Verdict.OK), (1, Verdict.WARN), (-60, Verdict.FAIL)]
)
def test_the_doctor_tells_of_this_machines_clock(
    wrong: Callable[[int], None], seconds: int, verdict: Verdict
) -> None:
    wrong(seconds)
    found = doctor.clock()
    assert found.verdict is verdict
    assert bool(found.advice) == bool(seconds)
