"""Transactions that PostgreSQL undid to let another one through are done again, whole."""

from collections.abc import Callable
from typing import Final, TypeVar

from django.db import OperationalError, connection

T = TypeVar("T")

TIMES: Final = 3
UNDONE: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not to be had in time (PostgreSQL, appendix A)."""


def attempted(work: Callable[[], T]) -> T:
    """Do `work`, one transaction, and do it again when PostgreSQL has undone it.

    Within a transaction of the caller's, which is broken then, the error is the caller's.
    """
    for _attempt in range(TIMES - 1):
        try:
            return work()
        except OperationalError as error:
            if connection.in_atomic_block or not is_undone(error):
                raise
    return work()


def is_undone(error: OperationalError) -> bool:
    """Tell whether the transaction was undone for another one's sake, and may be done again."""
    return getattr(error.__cause__, "sqlstate", None) in UNDONE
