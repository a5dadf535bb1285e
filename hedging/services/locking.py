"""One evaluation of a book at a time."""

import hashlib
from datetime import timedelta
from typing import Final

from django.db import connection

HELD_SECONDS: Final = 5
"""PostgreSQL ends an evaluation that has said nothing for so long: its process was stopped."""
HELD_UP: Final = timedelta(milliseconds=250)
"""A decision that took longer is made anew unless the book still stands as it was read."""


def book_lock(key: str) -> None:
    """Wait until nobody else evaluates this book; held to the end of the transaction.

    Whoever holds it and is stopped loses transaction and lock after HELD_SECONDS: the others need
    not wait for it, and what it decided long ago is not written when it goes on.
    """
    digest = hashlib.blake2b(f"hedging.book:{key}".encode(), digest_size=8).digest()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true),"
            " pg_advisory_xact_lock(%s)",
            [f"{HELD_SECONDS}s", int.from_bytes(digest, signed=True)],
        )
