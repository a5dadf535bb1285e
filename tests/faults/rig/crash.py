"""A child process that kills itself at its k-th database statement, commit or socket write.

Installed in a forked child only: the product knows nothing of it.
"""

import asyncio.selector_events
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from accounts import egress
from markets.venues.ratelimit import limiter

CHILD_SECONDS = 60.0
BY_THE_CLOCK = "FROM markets_venueban"
"""Bans are read when a second has passed or listening has begun: at no fixed point of a run."""
BROKE = 3


class ChildBroke(AssertionError):
    """The child ended neither by its kill nor well; the text is its traceback."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended: killed at the last of its points, or not at all."""

    was_killed: bool
    points: Sequence[str]

    @property
    def at(self) -> str:
        return f"{len(self.points)}: {self.points[-1] if self.points else 'nothing'}"


class _Counter:
    """Counts points from every thread; at the k-th the process is no more."""

    def __init__(self, kill_at: int, trace: int) -> None:
        self._kill_at, self._trace, self._count = kill_at, trace, 0

    def pass_(self, what: str) -> None:
        if BY_THE_CLOCK in what:
            return
        self._count += 1
        os.write(self._trace, f"{what[:80]}\n".encode())
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_kill(flow: Callable[[], None], *, kill_at: int) -> Death:
    """Run a flow in a forked child that dies at its `kill_at`-th point (0: at none).

    The caller's connections are closed first, for no two processes may share one.
    """
    connections.close_all()
    with tempfile.TemporaryDirectory() as directory:
        trace = Path(directory) / "trace"
        error = Path(directory) / "error"
        pid = os.fork()
        if pid == 0:
            _child(flow, kill_at, trace, error)
        status = _waited(pid)
        points = trace.read_text().splitlines() if trace.exists() else []
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return Death(True, points)
        if os.WEXITSTATUS(status) != 0:
            raise ChildBroke(error.read_text() if error.exists() else f"status {status}")
        return Death(False, points)


def _waited(pid: int) -> int:
    """Wait for a child of ours; one that hangs is ended and told of."""
    until = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    raise ChildBroke(f"The child hung for {CHILD_SECONDS} s.")


def _child(flow: Callable[[], None], kill_at: int, trace: Path, error: Path) -> None:
    code = 0
    try:
        limiter.limiter().forked()  # as the product's own is
        install(kill_at, trace)
        flow()
    except BaseException:
        error.write_text(traceback.format_exc())
        code = BROKE
    finally:
        sys.stdout.flush()
        os._exit(code)


def install(kill_at: int, trace: Path) -> None:
    """Count in this process from now on."""
    counter = _Counter(kill_at, os.open(trace, os.O_CREAT | os.O_WRONLY | os.O_APPEND))
    _before(CursorWrapper, "_execute", lambda a: f"db {_said(a[1])}", counter)
    _before(CursorWrapper, "_executemany", lambda a: f"db many {_said(a[1])}", counter)
    _before(BaseDatabaseWrapper, "_commit", lambda _a: "db COMMIT", counter)
    egress.new_loop = asyncio.new_event_loop  # uvloop writes where nobody can count
    transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    _around(transport, "write", lambda a: f"write {len(a[1])} bytes", counter)
    _around(transport, "writelines", lambda _a: "write lines", counter)


def _said(statement: object) -> str:
    return " ".join(str(statement).split())


def _before(owner: Any, name: str, told: Callable[[Any], str], counter: _Counter) -> None:
    original = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        counter.pass_(told(args))
        return original(*args, **kwargs)

    setattr(owner, name, counted)


def _around(owner: Any, name: str, told: Callable[[Any], str], counter: _Counter) -> None:
    """Count before what leaves and after it: in between the venue may act."""
    original = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        counter.pass_(told(args))
        result = original(*args, **kwargs)
        counter.pass_(f"after {told(args)}")
        return result

    setattr(owner, name, counted)
