"""Ends the programs of a supervisor that was killed.

A small process of its own reads a pipe only the supervisor's family writes to. Each program
announces its process group there. When the supervisor ends, in any way, the pipe closes, and the
reaper ends every group that was not taken back.
"""

import os
import signal
import time
from contextlib import suppress
from typing import Final

GRACE_SECONDS: Final = 5.0


class Reaper:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(self._writing)
                _watch(reading)
            finally:
                os._exit(0)
        os.close(reading)
        self.pid = pid

    def announce(self, group: int) -> None:
        """Tell that `group` has to end with the supervisor. Called in the program itself."""
        os.write(self._writing, f"+{group}\n".encode())

    def take_back(self, group: int) -> None:
        """Tell that nothing of `group` is left."""
        os.write(self._writing, f"-{group}\n".encode())

    def close(self) -> None:
        """Let go of the pipe; in the supervisor this ends the reaper."""
        os.close(self._writing)


def end_group(group: int, number: int) -> bool:
    """Send a signal to a whole process group; False when nothing of it is left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says this of a group of zombies
        return False
    return True


def _watch(reading: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    with os.fdopen(reading) as lines:
        for line in lines:
            group = int(line[1:])
            groups.add(group) if line[0] == "+" else groups.discard(group)
    for group in groups:  # each leader ends its own group in order
        with suppress(ProcessLookupError):
            os.kill(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(end_group(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        end_group(group, signal.SIGKILL)
