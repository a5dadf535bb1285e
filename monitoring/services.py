"""Writes of monitoring."""

from collections.abc import Mapping
from datetime import datetime

from django.utils import timezone

from controlplane import bus
from controlplane.base.jobs import JobOutcome
from controlplane.kernel.events import Occurrence
from monitoring.groups import CONSOLE
from monitoring.models import JobRun, MonitoringEvent


def event_record(occurrence: Occurrence) -> None:
    """Write an occurrence down, in the transaction of whatever caused it."""
    MonitoringEvent.objects.create(
        type=occurrence.type,
        severity=occurrence.severity,
        account_id=occurrence.account_id or "",
        module_id=occurrence.module_id or "",
        message=occurrence.message,
        payload=dict(occurrence.payload),
    )
    bus.send(CONSOLE, "console.changed", topic="events")


class JobRuns:
    """Keeps the record of job runs in `JobRun`."""

    def started(
        self,
        *,
        job: str,
        cluster: str,
        worker: str,
        arguments: Mapping[str, str],
        queued_at: datetime | None,
    ) -> JobRun:
        return JobRun.objects.create(
            job=job,
            cluster=cluster,
            worker=worker,
            arguments=dict(arguments),
            queued_at=queued_at,
            started_at=timezone.now(),
        )

    def finished(self, run: JobRun, outcome: JobOutcome) -> None:
        run.status = outcome.status
        run.duration_ms = outcome.duration_ms
        run.error = outcome.error
        run.finished_at = timezone.now()
        run.save(update_fields=["status", "duration_ms", "error", "finished_at"])
