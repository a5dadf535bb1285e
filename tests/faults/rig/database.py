"""A database of the pack's own, empty whenever it is asked for."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, connections

from accounts import egress
from tests.schema import schema_template


@contextmanager
def own_database() -> Iterator[Callable[[], None]]:
    """Yield what makes the process's database anew; drops it in the end."""
    place, name = connection.settings_dict, f"faults_{os.getpid()}"
    before = place["NAME"]
    template = schema_template()

    def fresh() -> None:
        egress._forget()  # the clients of accounts that are no more
        connections.close_all()
        _drop(name)
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        place["NAME"] = name

    try:
        yield fresh
    finally:
        connections.close_all()
        place["NAME"] = before
        _drop(name)


def _drop(name: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
