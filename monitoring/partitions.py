"""Partitions of the event table, one a day (see decision 1)."""

import re
from datetime import date, datetime
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from psycopg import sql

from monitoring.domain import retention

PARENT: Final = "monitoring_monitoringevent"
REST: Final = f"{PARENT}_rest"
LOCK: Final = 7_180_001
_NAME: Final = re.compile(rf"{PARENT}_(\d{{8}})")


def existing_days() -> list[date]:
    """Return the days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass",
            [PARENT],
        )
        matches = (_NAME.fullmatch(name) for (name,) in cursor.fetchall())
        return sorted(
            datetime.strptime(match[1], "%Y%m%d").date()  # noqa: DTZ007 - a day in UTC
            for match in matches
            if match
        )


@transaction.atomic
def ensure(*, today: date) -> list[date]:
    """Make the partitions that are missing; returns their days.

    Rows of such a day that already lie in the default partition are moved, in one transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        missing = [day for day in retention.days_needed(today) if day not in existing_days()]
        if missing:
            # An insert that has chosen the default partition would fail when its day leaves that
            # one, so no insert may be under way; each that comes meanwhile waits and looks anew.
            parent = sql.Identifier(PARENT)
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(parent))
        for day in missing:
            lower, upper = retention.bounds(day)
            table = sql.Identifier(f"{PARENT}_{day:%Y%m%d}")
            names = {"parent": sql.Identifier(PARENT), "rest": sql.Identifier(REST), "table": table}
            cursor.execute(
                sql.SQL("CREATE TABLE {table} (LIKE {parent} INCLUDING ALL)").format(**names)
            )
            cursor.execute(
                sql.SQL(
                    "INSERT INTO {table} SELECT * FROM {rest}"
                    " WHERE event_id >= {lower} AND event_id < {upper}"
                ).format(**names, lower=sql.Literal(lower), upper=sql.Literal(upper))
            )
            _empty_rest(lower, upper)
            cursor.execute(
                sql.SQL(
                    "ALTER TABLE {parent} ATTACH PARTITION {table}"
                    " FOR VALUES FROM ({lower}) TO ({upper})"
                ).format(**names, lower=sql.Literal(str(lower)), upper=sql.Literal(str(upper)))
            )
    return missing


@transaction.atomic
def drop(*, today: date, kept_days: int) -> list[date]:
    """Drop the partitions of days past keeping; returns them. Raises Denied below 90 days."""
    gone = retention.days_to_drop(existing_days(), today=today, kept_days=kept_days)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        for day in gone:
            cursor.execute(
                sql.SQL("DROP TABLE {}").format(sql.Identifier(f"{PARENT}_{day:%Y%m%d}"))
            )
    return gone


def _empty_rest(lower: UUID, upper: UUID) -> None:
    # The append-only trigger guards the default partition as well; the rows just copied are the
    # only ones that may leave it, and they leave in the same transaction.
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT 1 FROM {} WHERE event_id >= %s AND event_id < %s LIMIT 1").format(
                sql.Identifier(REST)
            ),
            [lower, upper],
        )
        if cursor.fetchone() is None:
            return
        cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(REST)))
        cursor.execute(
            sql.SQL("DELETE FROM {} WHERE event_id >= %s AND event_id < %s").format(
                sql.Identifier(REST)
            ),
            [lower, upper],
        )
        cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(REST)))
