"""What went on while the truth was not known yet: told of a recovery that took long."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

SLOW_SECONDS: Final = 8.0
"""A recovery that takes longer is told of: each limit is to be missed by none."""


class Trace:
    """Follows one recovery. What differed is noted here; the rest is in the database."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._differed: list[tuple[datetime, str]] = []

    @property
    def seconds(self) -> float:
        return (datetime.now(UTC) - self._began).total_seconds()

    def differs(self, text: str) -> None:
        """Note what differs now, when that is news."""
        if not self._differed or self._differed[-1][1] != text:
            self._differed.append((datetime.now(UTC), text))

    def tell(self, what: str) -> None:
        """Say how long it took, and of a slow one what went on."""
        seconds = self.seconds
        sys.stdout.write(f"{what}: {seconds:.1f} s\n")
        if seconds > SLOW_SECONDS:
            for at, text in sorted([*self._differed, *self._recorded()]):
                after = (at - self._began).total_seconds()
                sys.stdout.write(f"trace {after:6.1f} s  {' '.join(text.split())[:300]}\n")
        sys.stdout.flush()

    def _recorded(self) -> Iterator[tuple[datetime, str]]:
        from accounts.models import AccountSyncJob
        from markets.bans import VenueBan
        from monitoring.models import MonitoringEvent

        for job in AccountSyncJob.objects.filter(started_at__gte=self._began):
            took = "not ended" if job.duration_ms is None else f"{job.duration_ms} ms"
            yield job.started_at, f"sync {job.account_id}: {job.status}, {took} {job.error}"
        for event in MonitoringEvent.objects.filter(created_at__gte=self._began):
            yield event.created_at, f"{event.severity} {event.message}"
        for ban in VenueBan.objects.filter(told_at__gte=self._began):
            yield ban.told_at, f"ban of {ban.key}: {ban.reason}"
