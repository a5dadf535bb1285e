"""G03 · A disk that takes five seconds for every flush, under the product's own PostgreSQL.

`strace` holds up each `fsync` and `fdatasync` of the server and of every process it starts. Run as
`python -m tests.faults.rig.slow_disk RESULT COUNT` in an environment that points to an empty
directory, where the embedded server flushes as it does in production.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import django
import psutil
from django.db import connection

FLUSH_SECONDS: Final = 5.0
FLUSHES: Final = "fsync,fdatasync"
ATTACHED_SECONDS: Final = 120.0


@dataclass
class Slow:
    """What came of it. `claims` says how long each took, with the flush of its commit; seconds."""

    flushes: int = 0
    claims: list[float] = field(default_factory=list)
    cancelled: float = 0.0
    stop_cancelled: float = 0.0
    stopped: float = 0.0
    orders: int = 0
    problem: str = ""


def missing() -> str:
    """Say what this machine lacks to play it; empty when nothing."""
    return "" if shutil.which("strace") else "strace is not installed"


@contextmanager
def flushes_slowed(log: Path, commit: Callable[[], object]) -> Iterator[None]:
    """Hold up every flush of the server that this process is connected to, and note each.

    `commit` writes something down that must reach the disk.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('fsync'), current_setting('data_directory')")
        is_flushing, data = cursor.fetchone()
    assert is_flushing == "on", "this server flushes nothing"
    server = psutil.Process(int((Path(data) / "postmaster.pid").read_text().splitlines()[0]))
    pids = [server.pid, *(child.pid for child in server.children(recursive=True))]
    delay = f"inject={FLUSHES}:delay_enter={round(FLUSH_SECONDS * 1_000_000)}"
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={FLUSHES}", "-e", delay]
    command += ["-e", "signal=none"]
    tracer = subprocess.Popen([*command, *(f"--attach={pid}" for pid in pids)])
    try:
        until = time.monotonic() + ATTACHED_SECONDS
        while _taken(commit) < FLUSH_SECONDS:
            assert tracer.poll() is None, "strace may not attach to PostgreSQL here"
            assert time.monotonic() < until, "no commit became slow"
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets go of all of them
        tracer.wait(60)


def _taken(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def main() -> None:
    """Play it on a database of its own, and leave what was found in the file."""
    result, made = Path(sys.argv[1]), Slow()
    django.setup()
    from tests.faults.rig.slow_disk_acts import play

    try:
        play(result.with_name("strace.log"), made)
    except AssertionError as problem:
        made.problem = str(problem) or repr(problem)
    finally:
        result.write_text(json.dumps(asdict(made)))


if __name__ == "__main__":
    main()
