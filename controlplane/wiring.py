"""The composition root: who listens to whom."""

from django.utils.module_loading import autodiscover_modules

from accounts import observations
from controlplane.base import events, jobs
from monitoring import services as monitoring
from strategies import observing


def connect() -> None:
    """Register jobs and subscribers; called once, when all apps are loaded."""
    autodiscover_modules("jobs")
    events.subscribe(monitoring.event_record)
    jobs.record_with(monitoring.JobRuns())
    observations.subscribe(observing.orders_seen)
