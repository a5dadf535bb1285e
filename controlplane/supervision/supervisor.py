"""Fork programs from this process, keep them running, and end them all.

One thread, no event loop and no open database connection, so that forking at any time is safe.
What this process has imported is shared with every program, which keeps the whole small.
"""

import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from controlplane.supervision.reaper import Reaper, end_group

FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 30.0
STEADY_SECONDS: Final = 60.0  # a program that ran this long starts again with the first backoff
GRACE_SECONDS: Final = 8.0
TURN_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Program:
    """A name, and what its process does until told to stop by SIGTERM.

    When a program that is `decisive` ends, everything ends, with its exit code.
    """

    name: str
    run: Callable[[], object]
    decisive: bool = False


@dataclass(slots=True)
class Running:
    """One program's process. `pid` is None while it waits for its next start."""

    program: Program
    pid: int | None = None
    started: float = 0.0
    start_at: float = 0.0
    backoff: float = FIRST_BACKOFF
    starts: int = 0
    output: int | None = None
    partial: bytes = b""


@dataclass(slots=True)
class Supervisor:
    """Runs until SIGTERM or SIGINT, or until `stop()` is called from `each_turn`."""

    programs: Sequence[Program]
    say: Callable[[str, str], None]
    each_turn: Callable[["Supervisor"], None] = lambda supervisor: None
    grace: float = GRACE_SECONDS
    running: dict[str, Running] = field(default_factory=dict)
    code: int = 0
    _stopping: bool = False
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _reaper: Reaper = field(default_factory=Reaper)

    def run(self) -> int:
        """Start every program, keep them running; return the exit code when all have ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        self.running = {program.name: Running(program) for program in self.programs}
        try:
            while not self._stopping:
                self._start_due()
                self._forward_output(TURN_SECONDS)
                self._collect_ended()
                self.each_turn(self)
        finally:
            self._end_all()
            self._reaper.close()
            os.waitpid(self._reaper.pid, 0)
        return self.code

    def stop(self) -> None:
        """End everything at the next turn."""
        self._stopping = True

    def restart(self, name: str, why: str) -> None:
        """Kill a program's whole group; it starts again at the next turn."""
        one = self.running[name]
        if one.pid is not None:
            self.say(name, f"restarting: {why}")
            end_group(one.pid, signal.SIGKILL)

    def _start_due(self) -> None:
        now = time.monotonic()
        for one in self.running.values():
            if one.pid is None and one.start_at <= now:
                self._start(one)

    def _start(self, one: Running) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._become(one.program, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        self._selector.register(reading, selectors.EVENT_READ, one)
        one.pid, one.output, one.started = pid, reading, time.monotonic()
        one.starts += 1

    def _become(self, program: Program, output: int) -> NoReturn:
        """Turn the forked process into the program; never returns."""
        code = 1
        try:
            os.setsid()
            self._reaper.announce(os.getpid())
            self._reaper.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            for other in self.running.values():
                if other.output is not None:
                    os.close(other.output)
            self._selector.close()
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            program.run()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)  # the parent's exit handlers are the parent's

    def _forward_output(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            self._read(key.data)

    def _read(self, one: Running) -> None:
        assert one.output is not None
        try:
            chunk = os.read(one.output, 65536)
        except BlockingIOError:
            return
        *lines, one.partial = (one.partial + chunk).split(b"\n")
        if not chunk and one.partial:
            lines, one.partial = [one.partial], b""
        for line in lines:
            self.say(one.program.name, line.decode(errors="replace"))
        if not chunk:
            self._selector.unregister(one.output)
            os.close(one.output)
            one.output = None

    def _collect_ended(self) -> None:
        for one in self.running.values():
            if one.pid is None:
                continue
            pid, status = os.waitpid(one.pid, os.WNOHANG)
            if pid:
                self._ended(one, os.waitstatus_to_exitcode(status))

    def _ended(self, one: Running, code: int) -> None:
        assert one.pid is not None
        end_group(one.pid, signal.SIGKILL)
        self._reaper.take_back(one.pid)
        if one.output is not None:
            self._read(one)
        if one.output is not None:
            self._selector.unregister(one.output)
            os.close(one.output)
            one.output, one.partial = None, b""
        one.pid = None
        if one.program.decisive and not self._stopping:
            self.code = code
            self.stop()
        if self._stopping:
            return
        if time.monotonic() - one.started > STEADY_SECONDS:
            one.backoff = FIRST_BACKOFF
        self.say(one.program.name, f"ended with code {code}; starting again in {one.backoff:g} s")
        one.start_at = time.monotonic() + one.backoff
        one.backoff = min(one.backoff * 2, LONGEST_BACKOFF)

    def _end_all(self) -> None:
        self._stopping = True
        for one in self.running.values():
            if one.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.grace
        while any(one.pid is not None for one in self.running.values()):
            if time.monotonic() > deadline:
                for one in self.running.values():
                    if one.pid is not None:
                        end_group(one.pid, signal.SIGKILL)
            self._forward_output(0.05)
            self._collect_ended()
