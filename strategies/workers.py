"""Who holds a claim: a name that outlives the process, and whether its process still runs."""

import os
import socket
from functools import cache
from pathlib import Path


def worker_name() -> str:
    """Return this process's name: host, process id and, where known, when it started."""
    return _name_of(os.getpid())


def is_dead(name: str) -> bool:
    """Return whether the process behind a worker name has provably ended.

    A process on another host is never called dead from here.
    """
    host, _, rest = name.partition(":")
    pid, _, _ = rest.partition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _started(int(pid)) != rest.partition(":")[2]


@cache
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_started(pid)}"


def _started(pid: int) -> str:
    """Return the kernel's start time of a process; it tells two users of one id apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # After the command's name, in parentheses, the fields are plain; the 20th is the start.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
