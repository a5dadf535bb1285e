"""Jobs of monitoring."""

from datetime import timedelta

from django.utils import timezone

from controlplane.base.jobs import JobRunner, job
from monitoring import partitions


@job(name="monitoring.partitions", every=timedelta(hours=6))
class EnsurePartitions(JobRunner):
    """Keep a week of event partitions ahead."""

    def run(self) -> None:  # type: ignore[override]
        partitions.ensure(today=timezone.now().date())
