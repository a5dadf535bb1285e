"""A database of the pack's own, empty whenever it is asked for."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from django.db import connection, connections

from tests.clients import forget_clients
from tests.schema import schema_template


@contextmanager
def own_database() -> Iterator[Callable[[], None]]:
    """Yield what makes the process's database anew; drops it in the end, if it was ever made."""
    place, name = connection.settings_dict, f"faults_{os.getpid()}"
    before, template = place["NAME"], cache(schema_template)

    def fresh() -> None:
        forget_clients()  # their accounts are no more
        connections.close_all()
        place["NAME"] = before
        source = template()
        _drop(name)
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        place["NAME"] = name

    try:
        yield fresh
    finally:
        if place["NAME"] == name:
            forget_clients()
            connections.close_all()
            place["NAME"] = before
            _drop(name)


def _drop(name: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
