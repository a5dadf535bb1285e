"""PostgreSQL's clock: the one that processes on several hosts have in common."""

import time
from datetime import datetime, timedelta

from django.db import connection


def database_now() -> datetime:
    """Return what PostgreSQL's clock shows as it is asked; in a transaction, too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


class DatabaseClock:
    """PostgreSQL's clock, read now and then and counted on by this process's monotonic one.

    It tells how long the process was held up since, and no step of its wall clock shows in it.
    """

    def __init__(self) -> None:
        self._shown: datetime | None = None
        self._began = 0.0

    def read(self) -> datetime:
        """Read the clock anew and return what it shows; the reading counts as passed."""
        self._began = time.monotonic()
        self._shown = database_now()
        return self._shown

    def now(self) -> datetime:
        """Return what the clock shows by now, without asking where it was read before."""
        if self._shown is None:
            return self.read()
        return self._shown + timedelta(seconds=time.monotonic() - self._began)
