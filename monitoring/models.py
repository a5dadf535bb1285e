"""What happened, who must know, and what the workers did."""

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from controlplane.base import audit
from controlplane.base.fields import (
    DocumentField,
    EnumField,
    SecretField,
    SlugKey,
    TextLine,
    UUIDKey,
    one_of,
)
from controlplane.base.models import Entity, SecretHolder, Timestamped
from controlplane.kernel.events import EventType, Severity
from monitoring.choices import AlertState, JobStatus


class MonitoringEvent(Entity):
    """Something that happened. Append-only, kept 90 days or more, partitioned by day.

    The table is partitioned by ranges of `event_id`: a UUIDv7 carries its time, so the key
    alone finds the partition. Accounts and modules are named, not referenced: an event
    outlives what it is about.
    """

    event_id = UUIDKey()
    type = EnumField(EventType, verbose_name=_("type"))
    severity = EnumField(Severity, verbose_name=_("severity"), default=Severity.INFO)
    account_id = models.CharField(_("account"), max_length=64, blank=True)
    module_id = models.CharField(_("module"), max_length=64, blank=True)
    message = models.TextField(_("message"))
    payload = DocumentField(_("payload"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("monitoring event")
        verbose_name_plural = _("monitoring events")
        ordering = ("-event_id",)
        indexes = (
            models.Index(fields=("type", "-event_id"), name="event_type_recent"),
            models.Index(fields=("account_id", "-event_id"), name="event_account_recent"),
            models.Index(fields=("severity", "-event_id"), name="event_severity_recent"),
        )
        constraints = (
            one_of("event", "type", EventType),
            one_of("event", "severity", Severity),
        )
        triggers = (
            pgtrigger.Protect(
                name="event_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            ),
        )

    def __str__(self) -> str:
        return f"{self.type} {self.message[:60]}"


@audit.track(exclude=("target",))
class AlertRoute(SecretHolder, Timestamped):
    """Which events are sent where. `target` is an address a notifier understands."""

    route_id = SlugKey(_("alert route"))
    name = TextLine(_("name"))
    event_type = EnumField(
        EventType, verbose_name=_("event type"), blank=True, help_text=_("Empty: every type.")
    )
    min_severity = EnumField(Severity, verbose_name=_("from severity"), default=Severity.CRITICAL)
    target = SecretField(_("target"))
    is_enabled = models.BooleanField(_("enabled"), default=True)

    secret_fields = ("target",)

    class Meta:
        verbose_name = _("alert route")
        verbose_name_plural = _("alert routes")
        ordering = ("route_id",)
        constraints = (one_of("alertroute", "min_severity", Severity),)

    def __str__(self) -> str:
        return self.route_id


class Alert(Timestamped):
    """An event that a person must see; open until somebody acknowledges it."""

    alert_id = UUIDKey()
    event = models.ForeignKey(
        MonitoringEvent, models.DO_NOTHING, db_constraint=False, related_name="alerts"
    )
    state = EnumField(AlertState, verbose_name=_("state"), default=AlertState.OPEN)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ("-alert_id",)
        permissions = (("acknowledge_alert", "Can acknowledge an alert"),)
        constraints = (one_of("alert", "state", AlertState),)

    def __str__(self) -> str:
        return f"{self.state} {self.event_id}"


class JobRun(Entity):
    """One run of a job by a worker."""

    job_run_id = UUIDKey()
    job = models.CharField(_("job"), max_length=100)
    cluster = models.CharField(_("cluster"), max_length=20)
    arguments = DocumentField(_("arguments"), default=dict, blank=True)
    status = EnumField(JobStatus, verbose_name=_("status"), default=JobStatus.RUNNING)
    worker = models.CharField(_("worker"), max_length=200, blank=True)
    queued_at = models.DateTimeField(_("queued at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    duration_ms = models.PositiveIntegerField(_("duration, ms"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        ordering = ("-job_run_id",)
        indexes = (models.Index(fields=("job", "-job_run_id"), name="jobrun_job_recent"),)
        constraints = (one_of("jobrun", "status", JobStatus),)

    def __str__(self) -> str:
        return f"{self.job} {self.status}"


class ClusterPulse(Entity):
    """When a worker cluster last ran its canary; it has no other trace."""

    cluster = models.CharField(_("cluster"), max_length=20, primary_key=True)
    asked_at = models.DateTimeField(_("asked at"))
    heard_at = models.DateTimeField(_("heard at"))

    class Meta:
        verbose_name = _("cluster pulse")
        verbose_name_plural = _("cluster pulses")

    def __str__(self) -> str:
        return self.cluster


class RecordMark(Entity):
    """How far this record has come: one row, whose number only grows.

    Who has read it once keeps what it was elsewhere; a record that says less than that has been
    set back, by a backup put back or a replica that lagged.
    """

    record_id = UUIDKey()
    number = models.PositiveBigIntegerField(_("number"), default=0)

    class Meta:
        verbose_name = _("mark of the record")
        verbose_name_plural = _("marks of the record")

    def __str__(self) -> str:
        return f"{self.record_id} {self.number}"
