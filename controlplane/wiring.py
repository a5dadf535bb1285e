"""The composition root: who listens to whom."""

from controlplane.base import events, jobs
from monitoring import services as monitoring


def connect() -> None:
    """Register subscribers; called once, when all apps are loaded."""
    events.subscribe(monitoring.event_record)
    jobs.record_with(monitoring.JobRuns())
