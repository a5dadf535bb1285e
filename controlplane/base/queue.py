"""The queue's broker: rows in PostgreSQL, and a NOTIFY instead of a short nap between looks."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, Self

from django.db import connection
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from controlplane.base.agreed_time import clock_look

CHANNEL: Final = "queue"
_TAKE: Final = f"""
    UPDATE {OrmQ._meta.db_table} SET lock = %(until)s
    WHERE id IN (
        SELECT id FROM {OrmQ._meta.db_table} WHERE key = %(key)s AND lock < %(now)s
        ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )
    RETURNING id, payload
"""  # noqa: S608 - names of the queue's own table


class WakingBroker(ORM):
    """Wakes whoever waits for tasks of a cluster the moment one is committed.

    A lost wake-up costs no more than `poll` seconds: after those the table is looked at anyway.
    """

    _heard_on: object = None
    """The driver's connection that listens; a new connection must be told to."""

    _held: list[OrmQ] | None = None

    @contextmanager
    def together(self) -> Iterator[Self]:
        """Queue what is enqueued inside by one statement, at the end."""
        self._held = []
        try:
            yield self
            self._queue(self._held)
        finally:
            self._held = None

    def enqueue(self, task: str) -> None:
        """Queue a signed task; inside a transaction both row and wake-up come with its commit."""
        row = OrmQ(key=self.list_key, payload=task, lock=timezone.now())
        if self._held is None:
            self._queue([row])
        else:
            self._held.append(row)

    def _queue(self, rows: Sequence[OrmQ]) -> None:
        if not rows:
            return
        OrmQ.objects.bulk_create(rows)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, self.list_key])

    def dequeue(self) -> Sequence[tuple[int, str]]:
        """Take up to `bulk` tasks; when there are none, return after the next wake-up."""
        self.get_connection()  # closes one that is too old or broken
        clock_look()  # when a task may be taken is a time of whoever queued it
        self._listen()
        if tasks := self._take():
            return tasks
        with closing(connection.connection.notifies(timeout=Conf.POLL)) as wakeups:
            next((wakeup for wakeup in wakeups if wakeup.payload == self.list_key), None)
        return self._take()

    def _listen(self) -> None:
        connection.ensure_connection()
        if self._heard_on is not connection.connection:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._heard_on = connection.connection

    def _take(self) -> Sequence[tuple[int, str]]:
        now = timezone.now()
        terms = {"now": now, "until": self.timeout(None), "key": self.list_key, "most": Conf.BULK}
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, terms)
            return list(cursor.fetchall())
