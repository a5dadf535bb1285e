"""The database's clock as everybody's: what is compared between processes is told by one clock."""

import logging
from typing import Any, Final

from django.core.signals import request_started
from django.db import Error, connection
from django.db.backends.signals import connection_created
from django.utils import timezone

from controlplane.kernel.clock import AGREED_CLOCK, EXACT_NS, since_start_ns

logger = logging.getLogger(__name__)

MOST_TRIES: Final = 3
"""A reading that took long is made again, but not for ever: the machine may stay busy."""
_ASK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def install() -> None:
    """Have Django, and what is built on it, tell the agreed time from now on in this process.

    It is read anew with every connection, and by `clock_look`. Called before any model is there:
    one may take `timezone.now` itself for a column's default.
    """
    timezone.now = AGREED_CLOCK.now
    connection_created.connect(_connected, dispatch_uid="agreed_time")
    request_started.connect(_asked, dispatch_uid="agreed_time")


def clock_look() -> None:
    """Read the database's clock if it is time to; costs a comparison while it is not.

    For the beginning of each turn of a program. A database that is away leaves what is known.
    """
    if not AGREED_CLOCK.is_doubtful:
        return
    try:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            _read(connection)
    except Error as error:
        logger.warning("The database's clock cannot be read: %s", type(error).__name__)
        return
    _LOG.note(AGREED_CLOCK.ahead_ms)


class _Log:
    """Says once in this process that its clock is off, and that it is so no more."""

    is_apart = False

    def note(self, ahead_ms: int) -> None:
        if bool(ahead_ms) != self.is_apart:
            self.is_apart = bool(ahead_ms)
            logger.warning("Our own clock is %+d ms off the database's, which goes.", ahead_ms)


_LOG: Final = _Log()


def _connected(connection: Any, **_named: Any) -> None:
    _read(connection)


def _asked(**_named: Any) -> None:
    clock_look()


def _read(connection: Any) -> None:
    """Ask beneath Django, which would count it among the statements of a page."""
    for _ in range(MOST_TRIES):
        sent_ns = since_start_ns()
        ((told_us,),) = connection.connection.execute(_ASK).fetchall()
        received_ns = since_start_ns()
        AGREED_CLOCK.learn(told_us * 1000, sent_ns=sent_ns, received_ns=received_ns)
        if (received_ns - sent_ns) // 2 <= EXACT_NS:
            return
