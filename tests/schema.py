"""The schema is built once and copied; each test process building its own costs 15 s of CPU."""

import hashlib
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from django.core.management import call_command
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "schema_of_"
ONE_BUILDS = 7_304_118
"""The advisory lock of whoever builds; the others wait for the result."""


def schema_template() -> str:
    """Return the name of a database with today's schema, built when there is none yet."""
    name = f"{PREFIX}{_fingerprint()}"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [ONE_BUILDS])
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{PREFIX}%"])
        there = [row[0] for row in cursor.fetchall()]
        if name not in there:
            for stale in there:
                cursor.execute(f'DROP DATABASE "{stale}" WITH (FORCE)')
            _build(cursor, name)
        cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_BUILDS])
    return name


def _build(cursor: CursorWrapper, name: str) -> None:
    """Migrate a database of its own; it takes the name only when it is whole."""
    unready = f"{PREFIX}_unready"
    cursor.execute(f'DROP DATABASE IF EXISTS "{unready}" WITH (FORCE)')
    cursor.execute(f'CREATE DATABASE "{unready}"')
    _migrate(connection, unready)
    cursor.execute(f'ALTER DATABASE "{unready}" RENAME TO "{name}"')


def _migrate(connection: BaseDatabaseWrapper, name: str) -> None:
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0, run_syncdb=True)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def _fingerprint() -> str:
    """Return what the schema depends on: migrations, packages, and the day (events have days)."""
    digest = hashlib.sha256(datetime.now(UTC).date().isoformat().encode())
    for path in sorted(ROOT.glob("*/migrations/*.py")) + sorted(ROOT.glob("*/*/migrations/*.py")):
        digest.update(path.read_bytes())
    for package in sorted(f"{one.name} {one.version}" for one in distributions()):
        digest.update(package.encode())
    return digest.hexdigest()[:24]
