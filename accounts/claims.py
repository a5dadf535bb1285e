"""How work on one account meets the database: claimed by one process, committed without a wait."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import connection


def sync_claim(account_id: str) -> AbstractContextManager[bool]:
    """Yield whether the sync of this account is ours until the block ends."""
    return work_claim(f"accounts.sync:{account_id}")


@contextmanager
def work_claim(name: str) -> Iterator[bool]:
    """Yield whether the work of this name is ours until the block ends.

    A session-level advisory lock: it may be held across network calls, where no transaction
    may be, and PostgreSQL frees it when the holder dies.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    key = int.from_bytes(digest, signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        (claimed,) = cursor.fetchone()
    try:
        yield claimed
    finally:
        if claimed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def commit_without_waiting() -> None:
    """Have the running transaction commit without waiting for the disk.

    For observations, and for steps that are done again: a crash of the database server may take
    the last moments of them, whole transactions in order, and the next look at the venue brings
    them back. A private stream would otherwise wait for the disk at every frame, and all who
    NOTIFY with it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit TO off")
