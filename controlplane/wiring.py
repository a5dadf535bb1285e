"""The composition root: who listens to whom."""

from django.utils.module_loading import autodiscover_modules

from controlplane.base import events, jobs
from monitoring import services as monitoring


def connect() -> None:
    """Register jobs and subscribers; called once, when all apps are loaded."""
    autodiscover_modules("jobs")
    events.subscribe(monitoring.event_record)
    jobs.record_with(monitoring.JobRuns())
