"""When an account may open anything: only on a reconciliation that is complete and fresh."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

VALID: Final = timedelta(seconds=60)
"""A reconciliation older than this, and than four sync intervals, arms nothing any more."""
INTERVALS: Final = 4


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What is known of an account's reconciliations.

    `at` is when the last complete one was begun; `recovery_at` is since when one is owed (a
    start or a restart), None when never asked for.
    """

    at: datetime | None
    recovery_at: datetime | None
    sync_interval: timedelta


def is_armed(known: Reconciled, *, now: datetime) -> bool:
    """Tell whether the account may open exposure.

    A reconciliation begun before the recovery does not count: what happened while nobody
    watched may have come after it.
    """
    if known.at is None:
        return False
    if known.recovery_at is not None and known.at < known.recovery_at:
        return False
    return now - known.at <= max(VALID, INTERVALS * known.sync_interval)
