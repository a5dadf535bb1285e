"""Jobs for the django-q2 workers: classes with a record of each run.

The queue delivers at least once and in no order, so a job carries ids only and wins a database
claim before it acts. `run` may raise a ControlPlaneError for expected trouble; anything else is
a bug of ours and recorded as such. Nothing raised ever reaches the queue's own tables.
"""

import logging
import os
import socket
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol, TypeVar

from django.utils import timezone
from django_q.models import Schedule
from django_q.tasks import async_task

from controlplane.base.agreed_time import clock_look
from controlplane.base.audit import Actor, Surface
from controlplane.base.queue import WakingBroker
from controlplane.kernel.errors import ControlPlaneError
from controlplane.kernel.secrets import redact

logger = logging.getLogger(__name__)

ENTRY = "controlplane.base.jobs.execute"
SCHEDULED_CLUSTER = "sync"


class JobRunner(ABC):
    """One kind of job. Subclass, implement `run`, and register with `@job`."""

    name: ClassVar[str]
    cluster: ClassVar[str]
    every: ClassVar[timedelta | None]
    recorded: ClassVar[bool]

    def __init__(self) -> None:
        self.actor = Actor(name=self.name, surface=Surface.JOB)

    @abstractmethod
    def run(self, **ids: str) -> None:
        """Do the work; the arguments are ids."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a run ended: `success`, `failed` (expected trouble) or `errored` (a bug)."""

    status: str
    duration_ms: int
    error: str


class JobRecorder(Protocol):
    """Keeps the record of runs."""

    def started(
        self,
        *,
        job: str,
        cluster: str,
        worker: str,
        arguments: Mapping[str, str],
        queued_at: datetime | None,
    ) -> Any: ...

    def finished(self, run: Any, outcome: JobOutcome) -> None: ...


JobT = TypeVar("JobT", bound=type[JobRunner])
registry: dict[str, type[JobRunner]] = {}
_recorders: list[JobRecorder] = []


def job(
    *,
    name: str,
    cluster: str = "sync",
    every: timedelta | None = None,
    recorded: bool = True,
) -> Callable[[JobT], JobT]:
    """Register a job under `name`; `every` (whole minutes) also gives it a schedule.

    A job that is not `recorded` leaves no row per run, only a log line when it fails.
    """

    def decorator(runner: JobT) -> JobT:
        if name in registry:
            raise ValueError(f"The job {name} is registered twice.")
        if every is not None and cluster != SCHEDULED_CLUSTER:
            raise ValueError(f"Only the {SCHEDULED_CLUSTER} cluster looks at schedules ({name}).")
        runner.name, runner.cluster, runner.every = name, cluster, every
        runner.recorded = recorded
        registry[name] = runner
        return runner

    return decorator


def record_with(recorder: JobRecorder) -> None:
    """Make `recorder` keep the record of runs; the last one registered wins."""
    _recorders[:] = [recorder]


def enqueue(runner: type[JobRunner], cluster: str | None = None, /, **ids: str) -> None:
    """Queue a run, on the job's own cluster unless another is named.

    Inside a transaction it is queued when, and only if, that commits.
    """
    enqueue_all(runner, [ids], cluster)


def enqueue_all(
    runner: type[JobRunner], runs: Sequence[Mapping[str, str]], cluster: str | None = None
) -> None:
    """Queue several runs likewise, with one statement."""
    with WakingBroker(cluster or runner.cluster).together() as broker:
        for ids in runs:
            async_task(
                ENTRY,
                runner.name,
                dict(ids),
                timezone.now().isoformat(),
                task_name=runner.name,
                cluster=broker.list_key,
                broker=broker,
            )


def execute(name: str, ids: dict[str, str], queued_at: str | None = None) -> None:
    """Run a registered job and record it: the only function the queue ever calls."""
    clock_look()
    runner = registry[name]
    if not runner.recorded:
        _outcome(runner, ids)
        return
    recorder = _recorders[0]
    run = recorder.started(
        job=name,
        cluster=runner.cluster,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        arguments=ids,
        queued_at=datetime.fromisoformat(queued_at) if queued_at else None,
    )
    recorder.finished(run, _outcome(runner, ids))


def _outcome(runner: type[JobRunner], ids: dict[str, str]) -> JobOutcome:
    started = time.monotonic()
    status, error = "success", ""
    try:
        runner().run(**ids)
    except ControlPlaneError as trouble:
        status, error = "failed", redact(f"{trouble.code}: {trouble.message}")
    except Exception:
        status, error = "errored", redact(traceback.format_exc())
        logger.exception("The job %s broke.", runner.name)
    return JobOutcome(status, int((time.monotonic() - started) * 1000), error[-4000:])


def schedules_upsert() -> None:
    """Bring the queue's schedules in line with the registered jobs."""
    for name, runner in registry.items():
        if runner.every is not None:
            Schedule.objects.update_or_create(
                name=name,
                defaults={
                    "func": ENTRY,
                    "args": repr((name, {})),
                    "schedule_type": Schedule.MINUTES,
                    "minutes": max(1, int(runner.every.total_seconds() // 60)),
                    "cluster": runner.cluster,
                    "repeats": -1,
                },
            )
    Schedule.objects.filter(func=ENTRY).exclude(name__in=registry).delete()
