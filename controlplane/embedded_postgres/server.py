"""Start the embedded server, or attach to the one that runs.

Who uses the server is known by shared file locks, which the kernel drops when a process ends in
any way. A small keeper process waits for the last of them and stops the server.
"""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import psycopg
from psycopg import sql

from controlplane.embedded_postgres import cluster, keeper

START_SECONDS: Final = 60.0

_holds: dict[Path, IO[bytes]] = {}
_created: set[tuple[Path, str]] = set()


def running(data_dir: Path, name: str, *, durable: bool = True) -> Path:
    """Return the socket directory of a server that answers and has the database `name`.

    Raises RuntimeError with the end of the server's log when it does not start in a minute.
    """
    data_dir = data_dir.absolute()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    _hold(data_dir)
    socket_dir = cluster.socket_dir(data_dir)
    if not cluster.answers(socket_dir):
        with _alone(_lock_path(data_dir, "start")):
            _start(data_dir, socket_dir, durable=durable)
    _ensure_keeper(data_dir)
    if (data_dir, name) not in _created:
        _create_database(socket_dir, name)
        _created.add((data_dir, name))
    return socket_dir


def copy_database(data_dir: Path, source: str, name: str) -> None:
    """Make the database `name` a copy of `source`, throwing out whoever uses either."""
    with _connected(cluster.socket_dir(data_dir.absolute())) as connection:
        old, new = sql.Identifier(source), sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(new))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [source]
        )
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(new, old))


def _lock_path(data_dir: Path, purpose: str) -> Path:
    return data_dir.with_name(f"{data_dir.name}.{purpose}.lock")


def _hold(data_dir: Path) -> None:
    """Count this process, and those it forks, among the users; waits while the server stops."""
    if data_dir not in _holds:
        file = _lock_path(data_dir, "holders").open("ab")
        fcntl.flock(file, fcntl.LOCK_SH)
        _holds[data_dir] = file


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(data_dir: Path, socket_dir: Path, *, durable: bool) -> None:
    # A killed server's children, still at the shared memory, can refuse the first attempts.
    deadline = time.monotonic() + START_SECONDS
    cluster.prepare(data_dir, socket_dir)
    while not cluster.answers(socket_dir):
        cluster.clear_stale_pid(data_dir)
        if cluster.start(data_dir, socket_dir, durable=durable, deadline=deadline):
            continue
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {cluster.log_tail(data_dir)}")
        time.sleep(0.2)


def _ensure_keeper(data_dir: Path) -> None:
    guard = _lock_path(data_dir, "keeper")
    with guard.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # The keeper inherits the lock, so nobody starts a second one.
        subprocess.Popen(  # noqa: S603 - our own file
            [
                *(sys.executable, "-I", "-S", keeper.__file__),
                *(str(file.fileno()), str(_lock_path(data_dir, "holders"))),
                *(str(cluster.binary("pg_ctl")), str(data_dir)),
                *(str(number) for number in cluster.owner_ids(data_dir)),
            ],
            pass_fds=[file.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )


def _create_database(socket_dir: Path, name: str) -> None:
    with _connected(socket_dir) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(query, [name]).fetchone() is None:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateDatabase):
                return  # another process made it in the same moment


def _connected(socket_dir: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(socket_dir), user="postgres", dbname="postgres", autocommit=True
    )
