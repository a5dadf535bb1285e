"""F01, F02 · Programs of the product by clocks that are off, beside a database that is right.

Real processes: the sentinel, the feeds and the hedge workers, each with a wall clock of its own.
This process is the rest of the product, by the right time: it wishes, claims, stops and judges.
"""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from django.db import connection

from controlplane.base import jobs
from markets.models import MarketDataFeed
from strategies.jobs import SubmitIntent
from strategies.models import OrderIntent
from tests.faults.rig.arena import Arena
from tests.faults.rig.flows import wish
from tests.faults.rig.shifted import ENVIRONMENT

ROOT: Final = Path(__file__).resolve().parents[3]
LIBRARIES: Final = "lib/*/faketime/libfaketime.so.1"
"""Below `/usr`: Debian's place."""
WAIT_SECONDS: Final = 120.0
FRESH_MS: Final = 10_000
D = Decimal


def libfaketime() -> Path | None:
    """Return where the library is; None when it is not installed."""
    return next(Path("/usr").glob(LIBRARIES), None)


def missing() -> str:
    """Say what this machine lacks for clocks that no code of ours sees through; empty: nothing."""
    return "" if libfaketime() else "libfaketime is not installed (Debian: apt install faketime)"


class Shift(ABC):
    """A wrong clock: what a program is started with, and how it is set while it runs."""

    def __init__(self, path: Path, seconds: int) -> None:
        self.path = path
        self.set(seconds)

    def set(self, seconds: int) -> None:
        """Set the clock so far ahead of the right time; negative: behind. Never half written."""
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(f"{seconds:+07d}s".encode())
        self.seconds = seconds

    @abstractmethod
    def environment(self) -> Mapping[str, str]: ...


class Launched(Shift):
    """By a launcher in Python: everywhere, but C libraries still see the right time."""

    def environment(self) -> Mapping[str, str]:
        return {ENVIRONMENT: str(self.path)}


class Faked(Shift):
    """By libfaketime, where it is installed: every wall clock of the process is off."""

    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@dataclass
class Program:
    """One program of the product that runs by a wrong clock."""

    name: str
    shift: Shift
    process: "subprocess.Popen[bytes]"
    log: Path
    first_seconds: int

    def kill(self) -> None:
        with ExitStack() as over:
            over.callback(self.process.wait, 20)
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass
class Apart:
    """What is played: an arena, and the programs that see another time."""

    arena: Arena
    directory: Path
    kind: type[Shift]
    programs: dict[str, Program] = field(default_factory=dict)
    number: int = 0

    def start(self, name: str, seconds: int) -> Program:
        shift = self.kind(self.directory / f"{name}.clock", seconds)
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            database = str(connection.settings_dict["NAME"])
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.rig.shifted", database, name],
                cwd=ROOT,
                env={**os.environ, **_SETTINGS, **shift.environment()},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.programs[name] = Program(name, shift, process, log, seconds)
        return self.programs[name]

    def until(self, what: Callable[[], Any], told: str) -> None:
        """Wait until it is so; raises AssertionError with what the programs said when it is not."""
        end = time.monotonic() + WAIT_SECONDS
        while not what():
            for program in self.programs.values():
                assert program.process.poll() is None, self._said(f"{program.name} has ended")
            assert time.monotonic() < end, self._said(told)
            time.sleep(0.1)

    def _said(self, told: str) -> str:
        logs = (it.log.read_text()[-2000:] for it in self.programs.values())
        return "\n".join([f"never: {told}", *logs])

    def sell(self, **terms: Any) -> OrderIntent:
        """Wish for a sale on the long side that reduces; each of another size."""
        self.number += 1
        amount = D("0.01") + self.number * D("0.001")
        return wish(self.arena, "long", "sell", amount, **{"reduce_only": True, **terms})

    def sent(self, intent: OrderIntent) -> str:
        """Have the workers send an order; return how it ended, with the reason."""
        jobs.enqueue(SubmitIntent, intent_id=str(intent.pk))
        return self.ended(intent)

    def ended(self, intent: OrderIntent) -> str:
        """Wait until an order has ended and return how, with the reason."""

        def over() -> bool:
            intent.refresh_from_db()
            return intent.state in ("filled", "failed", "cancelled")

        self.until(over, f"the end of {intent}")
        return f"{intent.state} {intent.reason}".strip()


_SETTINGS: Final = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "LOG_LEVEL": "WARNING",
    "HEDGE_WORKERS": "1",
    "HEDGE_THROTTLE_EXECUTIONS": "1000000",
    "HEDGE_THROTTLE_FAILURES": "1000000",
    "HEDGE_THROTTLE_REJECTS": "1000000",
}


@contextmanager
def apart(arena: Arena, directory: Path, kind: type[Shift]) -> Iterator[Apart]:
    """Yield the stage; what was started on it is killed in the end."""
    made = Apart(arena, directory, kind)
    MarketDataFeed.objects.update(freshness_threshold=FRESH_MS)
    try:
        yield made
    finally:
        for program in made.programs.values():
            program.kill()
