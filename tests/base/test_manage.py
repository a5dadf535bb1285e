"""The command line tells what is wrong with a database, not where Python noticed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

NAME = f"nothing_migrated_{os.getpid()}"


@pytest.fixture
def unmigrated(db: None) -> Iterator[str]:
    """Return the URL of a database without tables."""
    told = connection.get_connection_params()
    own = {key: told[key] for key in ("host", "port", "user", "password") if told.get(key)}
    with psycopg.connect(make_conninfo(**own, dbname="postgres"), autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{NAME}"')
        server.execute(f'CREATE DATABASE "{NAME}"')
        yield f"postgres:///{NAME}?" + "&".join(f"{key}={value}" for key, value in own.items())
        server.execute(f'DROP DATABASE "{NAME}"')


def test_a_command_on_a_database_without_tables_says_what_to_run(
    unmigrated: str, tmp_path: Path
) -> None:
    told = subprocess.run(
        [sys.executable, "manage.py", "sync_instruments", "--venue", "binance"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": unmigrated, "CONTROLPLANE_VAR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        'The database is not what this version needs: relation "markets_venue" does not exist.',
        "Run manage.py migrate first.",
    ]
