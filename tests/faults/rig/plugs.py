"""Pulling the plug: `kill -9` of everything of ours, PostgreSQL too, in the middle of trading.

The outside world (three paper venues with somebody who trades on the accounts, two proxies) lives
on. The product is started again on what is left, and once the venues hold still ledgers and
database must come to say the same. Run as `python -m tests.faults.rig.plugs RESULT COUNT` in an
environment that points to an empty directory.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import django
import psutil

from tests.faults.rig.trace import Trace

ROOT: Final = Path(__file__).resolve().parents[3]
READY_SECONDS: Final = 120.0
AGREE_SECONDS: Final = 120.0
TRADING_SECONDS: Final = (3.0, 8.0)
TOLD: Final = ("pulled ", "cut ", "trace ")
"""Lines that begin so are passed on to whoever waits."""
ACTOR_SECONDS: Final = "0.7"
"""Somebody trades so often on the accounts of each venue: there is always a hedge to kill."""


@dataclass
class Plugs:
    """What came of it. Seconds are from the start of the product until all was known."""

    pulled: int = 0
    killed: list[int] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    agreed: list[float] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    orders: int = 0
    fills: int = 0
    problem: str = ""


def pulled(
    count: int, directory: Path, *, say: Callable[[str], None] = lambda _text: None
) -> dict[str, Any]:
    """Run this module as a process of its own; raises AssertionError with what it found broken."""
    return apart("tests.faults.rig.plugs", count, directory, say=say)


def apart(
    module: str, count: int, directory: Path, *, say: Callable[[str], None] = lambda _text: None
) -> dict[str, Any]:
    """Run a module that leaves what it found in a file, on data of its own in `directory`."""
    result = directory / "result.json"
    environment = {
        **os.environ,
        "CONTROLPLANE_VAR": str(directory),
        "CONTROLPLANE_ENV": "local",
        "DATABASE_URL": "",
        "EMBEDDED_POSTGRES_DURABLE": "1",  # tests set it off, and a kill would lose commits
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", module, str(result), str(count)]
    told = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            told.append(line)
            if line.startswith(TOLD):
                say(line.strip())
    if not result.exists():
        raise AssertionError("".join(told[-60:]))
    facts: dict[str, Any] = json.loads(result.read_text())
    if facts["problem"]:
        raise AssertionError(facts["problem"])
    return facts


def main() -> None:
    """Prepare the demo's data, start the world, and pull the plug again and again."""
    result, count = Path(sys.argv[1]), int(sys.argv[2])
    directory = result.parent
    layout = prepare(directory)
    world = World(directory, layout, ACTOR_SECONDS)
    made = Plugs()
    try:
        world.start()
        with suppress(KeyboardInterrupt):
            Plug(directory, layout.venues, world, made).pull(count)
    except AssertionError as problem:
        made.problem = str(problem)
    finally:
        kill(ours(directory, spared=world.pids()))
        world.stop()
        result.write_text(json.dumps(asdict(made)))


def prepare(directory: Path) -> Any:
    """Make the demo's data in the directory's own database; return its layout."""
    django.setup()
    from django.core.management import call_command

    from controlplane.base import jobs
    from controlplane.demo import data
    from controlplane.demo.layout import demo_layout
    from controlplane.management.commands.demo import free_port

    call_command("migrate", interactive=False, verbosity=0)
    layout = demo_layout(free_port)
    data.demo_load(layout=layout, password=data.password(directory / "login.json"))
    jobs.schedules_upsert()
    return layout


class World:
    """What is not ours: the venues, and the proxies on the way there."""

    def __init__(self, directory: Path, layout: Any, actor_seconds: str) -> None:
        self._directory, self._layout, self._actor_seconds = directory, layout, actor_seconds
        self._programs: list[subprocess.Popen[bytes]] = []
        self._relays: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for venue in self._layout.venues:
            path = self._directory / f"{venue.venue_id}.json"
            ledger = str(self._directory / f"{venue.venue_id}.ledger.jsonl")
            settings = venue.configuration(ledger=ledger)
            settings["actor"]["everySeconds"] = self._actor_seconds
            path.touch(mode=0o600)
            path.write_text(json.dumps(settings))
            self._begin("manage.py", "run_paper_venue", "--config", str(path))
        self.connect()
        self._wait_served()

    def connect(self) -> None:
        """Start the proxies."""
        for one in self._layout.exits:
            relay = one.relay(self._directory)
            program = self._begin("-m", "controlplane.demo.relay", wants_input=True)
            assert program.stdin is not None
            line = {"ip": relay.ip, "port": relay.port, "auth": relay.auth, "log": str(relay.log)}
            program.stdin.write(json.dumps(line).encode() + b"\n")
            program.stdin.close()
            self._relays.append(program)

    def disconnect(self) -> None:
        """Kill the proxies: every connection to a venue breaks, and none can be made."""
        while self._relays:
            program = self._relays.pop()
            program.kill()
            program.wait(20)
            self._programs.remove(program)

    def _wait_served(self) -> None:
        from controlplane.demo.control import ask

        until = time.monotonic() + READY_SECONDS
        for venue in self._layout.venues:
            while True:
                try:
                    ask(venue, "/control/pause", {})
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise AssertionError(f"{venue.venue_id} does not start") from None
                    time.sleep(0.2)

    def _begin(self, *command: str, wants_input: bool = False) -> subprocess.Popen[bytes]:
        begun = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "CONTROLPLANE_VAR": str(self._directory / "world")},
            stdin=subprocess.PIPE if wants_input else subprocess.DEVNULL,
        )
        self._programs.append(begun)
        return begun

    def pids(self) -> set[int]:
        return {program.pid for program in self._programs}

    def stop(self) -> None:
        for program in self._programs:
            program.terminate()
        for program in self._programs:
            program.wait(20)


class Plug:
    """Starts the product, lets it trade, kills it, and sees what is left."""

    def __init__(self, directory: Path, venues: Sequence[Any], world: World, made: Plugs) -> None:
        from controlplane.demo.check import Ledgers

        self._directory, self._venues, self._world, self._made = directory, venues, world, made
        self._ledgers = Ledgers(venues)
        self._chance = random.Random(7)

    def pull(self, count: int) -> None:
        """Pull the plug so often; after each start all must come to be known."""
        self._start()
        for _ in range(count):
            time.sleep(self._chance.uniform(*TRADING_SECONDS))
            self._made.in_flight.append(self._in_flight())
            self._made.killed.append(kill(ours(self._directory, spared=self._world.pids())))
            self._made.pulled += 1
            self._start()
        for told in self._ledgers.read():
            self._made.orders += len({entry["orderId"] for entry in told.of("order")})
            self._made.fills += len(told.of("fill"))

    def _start(self) -> None:
        trace = Trace()
        self._up()
        self._made.ready.append(trace.seconds)
        self._all("/control/pause")
        self._made.agreed.append(self._agree(trace, f"pulled {self._made.pulled}", AGREE_SECONDS))
        self._all("/control/resume")

    def _agree(self, trace: Trace, what: str, most: float) -> float:
        """Wait until ledgers and database say the same; return how long that took."""
        while found := self._quietly(self._ledgers.disagreement):
            trace.differs(found)
            if trace.seconds > most:
                raise AssertionError(f"{what}: {found}")
            time.sleep(0.2)
        trace.tell(what)
        return trace.seconds

    def _up(self) -> None:
        """Start the product, and wait until it says that it runs."""
        log = (self._directory / "up.log").open("ab")
        program = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", "0", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        assert program.stdout is not None
        until = time.monotonic() + READY_SECONDS
        os.set_blocking(program.stdout.fileno(), False)
        while not program.stdout.readline():
            if program.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"after {self._made.pulled} plugs the product does not start")
            time.sleep(0.1)

    def _all(self, path: str) -> None:
        from controlplane.demo.control import ask

        for venue in self._venues:
            ask(venue, path, {})

    def _in_flight(self) -> int:
        from strategies.models import OrderIntent

        count: int = OrderIntent.objects.in_flight().count()
        return count

    def _quietly(self, ask: Any) -> str:
        """Ask the database; a connection that a kill has cut is made anew."""
        from django.db import Error, connections

        try:
            return str(ask())
        except Error as error:
            connections.close_all()
            return repr(error)


def ours(directory: Path, *, spared: set[int]) -> list[psutil.Process]:
    """Return every process that lives in this directory, PostgreSQL's too, but for this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.environ().get("CONTROLPLANE_VAR") == str(directory)
            if is_ours and process.pid not in {os.getpid(), *spared}:
                found.append(process)
    return found


def kill(processes: Sequence[psutil.Process]) -> int:
    """Kill all of them at once, and wait until they are gone; return how many they were."""
    from django.db import connections

    connections.close_all()
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=30)
    return len(processes)


if __name__ == "__main__":
    main()
