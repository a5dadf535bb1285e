"""The sentinel's look at PostgreSQL itself: what would slow or stop it, told before it does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.db import connection
from django.utils.translation import gettext as _

from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence, Severity

LONG: Final = timedelta(minutes=5)
"""A transaction open for longer keeps every table from being cleaned."""
OLDEST: Final = 1_000_000_000
"""Transactions since the last freeze; at 2^31 PostgreSQL takes no writes any more."""
MOST_DEAD: Final = 1_000_000
"""Dead rows of one table, when they are also more than those that live."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong. `key` stays the same while it goes on."""

    key: str
    text: str
    severity: Severity = Severity.WARN


@dataclass(slots=True)
class DatabaseWatch:
    """Tells of each trouble once while it lasts."""

    long: timedelta = LONG
    oldest: int = OLDEST
    most_dead: int = MOST_DEAD
    _told: set[str] = field(default_factory=set)

    def look(self) -> int:
        """Look once; return how many troubles are new."""
        found = {trouble.key: trouble for trouble in self._troubles()}
        news = [trouble for key, trouble in found.items() if key not in self._told]
        self._told = set(found)
        events.publish(
            *(
                Occurrence(
                    type=EventType.SYSTEM,
                    severity=trouble.severity,
                    message=trouble.text,
                    payload={"code": "database", "trouble": trouble.key},
                )
                for trouble in news
            )
        )
        return len(news)

    def _troubles(self) -> Iterator[Trouble]:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT pid, application_name, extract(epoch FROM now() - xact_start)::integer
                FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend'
                    AND xact_start < now() - make_interval(secs => %s) AND pid <> pg_backend_pid()
                """,
                [self.long.total_seconds()],
            )
            for pid, name, seconds in cursor.fetchall():
                text = _("A transaction (%(name)s, process %(pid)s) is open for %(seconds)s s.")
                shown = {"name": name or "?", "pid": pid, "seconds": seconds}
                yield Trouble(f"transaction {pid}", text % shown)
            cursor.execute(
                "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
            )
            (age,) = cursor.fetchone()
            if age > self.oldest:
                text = _("PostgreSQL has not frozen for %(age)s transactions; it stops at 2^31.")
                yield Trouble("freeze", text % {"age": age}, Severity.CRITICAL)
            cursor.execute(
                """
                SELECT relname, n_dead_tup FROM pg_stat_user_tables
                WHERE n_dead_tup > %s AND n_dead_tup > n_live_tup
                """,
                [self.most_dead],
            )
            for table, dead in cursor.fetchall():
                text = _("%(table)s holds %(dead)s dead rows: it is not being cleaned.")
                yield Trouble(f"bloat {table}", text % {"table": table, "dead": dead})
