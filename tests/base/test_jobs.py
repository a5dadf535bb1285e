"""Jobs: one entry, a record of each run, schedules that follow the code."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django_q.models import OrmQ, Schedule

from controlplane.base import jobs
from controlplane.kernel.errors import ControlPlaneError
from monitoring.models import JobRun

ran: list[dict[str, str]] = []


@pytest.fixture
def echo() -> Iterator[type[jobs.JobRunner]]:
    @jobs.job(name="test.echo", cluster="hedge")
    class Echo(jobs.JobRunner):
        def run(self, **ids: str) -> None:
            ran.append(ids)
            if ids.get("fail"):
                raise ControlPlaneError("as expected")

    yield Echo
    del jobs.registry["test.echo"]
    ran.clear()


pytestmark = pytest.mark.django_db


def test_run_is_recorded_with_its_outcome(echo: type[jobs.JobRunner]) -> None:
    jobs.execute("test.echo", {"account_id": "a"}, None)
    jobs.execute("test.echo", {"fail": "yes"}, None)
    failed, done = JobRun.objects.order_by("-job_run_id")
    assert (done.status, done.cluster, done.arguments) == ("success", "hedge", {"account_id": "a"})
    assert (failed.status, failed.error) == ("failed", "error: as expected")
    assert None not in (done.finished_at, done.duration_ms)
    assert ran == [{"account_id": "a"}, {"fail": "yes"}]


def test_job_is_queued_with_its_transaction_or_not_at_all(echo: type[jobs.JobRunner]) -> None:
    with transaction.atomic():
        jobs.enqueue(echo, account_id="never")
        transaction.set_rollback(True)
    assert OrmQ.objects.count() == 0
    jobs.enqueue(echo, account_id="a")
    jobs.enqueue(echo, "sync", account_id="b")
    assert sorted(OrmQ.objects.values_list("key", flat=True)) == ["hedge", "sync"]


def test_name_is_registered_once(echo: type[jobs.JobRunner]) -> None:
    with pytest.raises(ValueError, match="registered twice"):
        jobs.job(name="test.echo")(type("Other", (jobs.JobRunner,), {}))


def test_schedule_on_a_cluster_without_a_scheduler_is_refused() -> None:
    with pytest.raises(ValueError, match="looks at schedules"):
        jobs.job(name="test.never", cluster="hedge", every=timedelta(minutes=1))(
            type("Never", (jobs.JobRunner,), {})
        )
    assert "test.never" not in jobs.registry


def test_schedules_follow_the_registered_jobs() -> None:
    Schedule.objects.create(name="gone", func=jobs.ENTRY, schedule_type=Schedule.MINUTES)
    jobs.schedules_upsert()
    jobs.schedules_upsert()
    wanted = {name for name, runner in jobs.registry.items() if runner.every is not None}
    assert sorted(Schedule.objects.values_list("name", flat=True)) == sorted(wanted)
    partitions = Schedule.objects.get(name="monitoring.partitions")
    assert (partitions.minutes, partitions.cluster) == (360, "sync")
