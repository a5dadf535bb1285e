"""One evaluation of a book at a time."""

import hashlib

from django.db import connection


def book_lock(key: str) -> None:
    """Wait until nobody else evaluates this book; held to the end of the transaction."""
    digest = hashlib.blake2b(f"hedging.book:{key}".encode(), digest_size=8).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest, signed=True)])
