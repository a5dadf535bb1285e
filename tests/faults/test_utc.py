"""F04 · Days, schedules and settlements are UTC, whatever the machine's or the console's zone."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from django_q.models import Schedule

from accounts.models import AccountState, EquitySample
from accounts.peaks import Peaks
from controlplane.base import jobs
from controlplane.kernel.ids import uuid7_time
from markets.domain.funding import settlement_time
from markets.venues.checks import moment as venue_moment
from monitoring.domain import retention
from strategies.moment import Moment
from strategies.tallies import account_standing
from tests import factories

pytestmark = pytest.mark.django_db
D = Decimal
ZONES = ("America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu")
"""Summer time that begins at 07:00 UTC, a day ahead, and a quarter of an hour off."""
CHANGES = datetime(2026, 3, 8, tzinfo=UTC)
"""The day on which New York's clocks go forward."""


@pytest.fixture(params=ZONES)
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """Set the machine, the settings and the reader's own zone to one far from UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    try:
        with override_settings(TIME_ZONE=request.param), timezone.override(request.param):
            yield request.param
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()
        connection.close_if_unusable_or_obsolete()


def test_f04_a_days_drawdown_begins_anew_at_midnight_utc(elsewhere: str) -> None:
    account, peaks = factories.account(), Peaks()
    ends = CHANGES + timedelta(hours=23, minutes=59, seconds=59)
    for at, equity in ((CHANGES, 90), (CHANGES + timedelta(hours=7), 120), (ends, 100)):
        EquitySample.objects.create(account=account, equity=D(equity), at=at)
    assert peaks.of(account.pk, D(100), ends) == (D(120), D(120))
    assert peaks.of(account.pk, D(80), ends + timedelta(seconds=1)) == (D(80), D(120))
    assert Peaks().of(account.pk, D(80), ends + timedelta(seconds=1)) == (D(80), D(120))


def test_f04_the_gate_measures_a_days_drawdown_from_midnight_utc(elsewhere: str) -> None:
    intent = factories.intent()
    AccountState.objects.filter(account=intent.account).update(equity=D(80))
    ends = CHANGES + timedelta(hours=23, minutes=59, seconds=59)
    EquitySample.objects.create(account=intent.account, equity=D(120), at=CHANGES)
    EquitySample.objects.create(
        account=intent.account, equity=D(81), at=ends + timedelta(seconds=1)
    )
    peaks = []
    for now in (ends, ends + timedelta(seconds=2)):
        standing = account_standing(intent, Moment(now))
        assert standing is not None
        peaks.append(standing.peak)
    assert peaks == [D(120), D(81)]


def test_f04_a_partition_is_a_day_of_utc_with_24_hours(elsewhere: str) -> None:
    first, last = retention.bounds(date(2026, 3, 8))
    assert uuid7_time(first) == CHANGES
    assert uuid7_time(last) - uuid7_time(first) == timedelta(hours=24)
    assert timezone.now().date() == datetime.now(UTC).date()


def test_f04_settlements_are_what_the_venue_says_in_utc(elsewhere: str) -> None:
    told = venue_moment(1_772_956_800_000, "nextFundingTime")
    assert told.isoformat() == "2026-03-08T08:00:00+00:00"
    assert settlement_time(told) == told


def test_f04_schedules_are_minutes_apart_and_know_no_summer_time(elsewhere: str) -> None:
    jobs.schedules_upsert()
    ours = Schedule.objects.filter(func=jobs.ENTRY)
    assert ours.count() == sum(runner.every is not None for runner in jobs.registry.values())
    assert set(ours.values_list("schedule_type", flat=True)) == {Schedule.MINUTES}
    begun = CHANGES + timedelta(hours=6, minutes=59)
    schedule = ours.filter(minutes__gte=1).first()
    assert schedule is not None
    due = schedule.calculate_next_run(begun)
    assert due - begun == timedelta(minutes=schedule.minutes or 0)


def test_f04_the_database_keeps_and_tells_times_in_utc(elsewhere: str) -> None:
    account = factories.account()
    EquitySample.objects.create(account=account, equity=D(1), at=CHANGES)
    kept = EquitySample.objects.get().at
    assert (kept, kept.utcoffset()) == (CHANGES, timedelta(0))
    with connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)
