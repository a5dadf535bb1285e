"""Jobs of monitoring."""

from datetime import datetime, timedelta

from django.utils import timezone

from controlplane.base.jobs import JobRunner, job
from monitoring import partitions
from monitoring.models import ClusterPulse


@job(name="monitoring.partitions", every=timedelta(hours=6))
class EnsurePartitions(JobRunner):
    """Keep a week of event partitions ahead."""

    def run(self) -> None:  # type: ignore[override]
        partitions.ensure(today=timezone.now().date())


@job(name="system.canary", recorded=False)
class Canary(JobRunner):
    """Prove that a cluster still takes and runs tasks."""

    def run(self, cluster: str, asked_at: str) -> None:  # type: ignore[override]
        ClusterPulse.objects.update_or_create(
            cluster=cluster,
            defaults={"asked_at": datetime.fromisoformat(asked_at), "heard_at": timezone.now()},
        )
