"""Writes of monitoring."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from controlplane import bus
from controlplane.base import audit, events
from controlplane.base.jobs import JobOutcome
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence
from monitoring.choices import AlertState
from monitoring.groups import CONSOLE
from monitoring.models import Alert, JobRun, MonitoringEvent

ACKNOWLEDGED = audit.register("alert.acknowledged", label=_("Alert acknowledged"))


def events_record(occurrences: Sequence[Occurrence]) -> None:
    """Write occurrences down, in the transaction of whatever caused them."""
    MonitoringEvent.objects.bulk_create(
        MonitoringEvent(
            type=occurrence.type,
            severity=occurrence.severity,
            account_id=occurrence.account_id or "",
            module_id=occurrence.module_id or "",
            message=occurrence.message,
            payload=dict(occurrence.payload),
        )
        for occurrence in occurrences
    )
    bus.send(CONSOLE, "console.changed", topic="events")


@transaction.atomic
def alert_acknowledge(*, alert: Alert, actor: audit.Actor, reason: str) -> Alert:
    """Say that a person has seen an open alert. Raises Conflict when it is not open."""
    alert = Alert.objects.select_for_update(of=("self",)).get(pk=alert.pk)
    if alert.state != AlertState.OPEN:
        raise Conflict(f"The alert is {alert.state}, not open.", details={"state": alert.state})
    alert.state = AlertState.ACKNOWLEDGED
    alert.acknowledged_by_id = actor.user_id
    alert.acknowledged_at = timezone.now()
    alert.note = reason
    with audit.context(ACKNOWLEDGED, actor=actor, reason=reason):
        alert.save()
    events.publish(
        Occurrence(
            type=EventType.SYSTEM,
            message=f"Alert acknowledged by {actor.name}: {reason}",
            payload={"alert": str(alert.pk), "event": str(alert.event_id), "actor": actor.name},
        )
    )
    return alert


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
