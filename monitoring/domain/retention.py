"""Which days' partitions of the event table must exist, and which may go."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from controlplane.kernel.errors import Denied
from controlplane.kernel.ids import uuid7_floor

MIN_KEPT_DAYS: Final = 90
DAYS_AHEAD: Final = 7


def bounds(day: date) -> tuple[UUID, UUID]:
    """Return the keys of a day (UTC): from the first, up to but not including the second."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return uuid7_floor(start), uuid7_floor(start + timedelta(days=1))


def days_needed(today: date) -> list[date]:
    """Return the days whose partitions must exist: today and a week ahead."""
    return [today + timedelta(days=offset) for offset in range(DAYS_AHEAD + 1)]


def days_to_drop(existing: Iterable[date], *, today: date, kept_days: int) -> list[date]:
    """Return the days that are past keeping; raises Denied below 90 days."""
    if kept_days < MIN_KEPT_DAYS:
        raise Denied(
            "RETENTION_TOO_SHORT",
            f"Events are kept {MIN_KEPT_DAYS} days or more, not {kept_days}.",
            keptDays=kept_days,
            minimum=MIN_KEPT_DAYS,
        )
    oldest = today - timedelta(days=kept_days)
    return sorted(day for day in existing if day < oldest)
