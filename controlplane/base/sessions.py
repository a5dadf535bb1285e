"""What this process asks of its database sessions."""

from typing import Any

from django.db.backends.signals import connection_created


def statements_limit(seconds: float) -> None:
    """Have PostgreSQL cancel every statement of this process that takes longer; 0: none.

    For processes that serve people: a slow page must not hold what orders need. Connections made
    from now on are limited.
    """
    if seconds <= 0:
        return

    def limit(connection: Any, **_named: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {round(seconds * 1000)}")

    connection_created.connect(limit, weak=False, dispatch_uid="statements_limit")
