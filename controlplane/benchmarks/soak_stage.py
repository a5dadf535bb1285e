"""A real `run_feeds` with many feeds on three paper venues, watched from outside for a while.

Run as `python -m controlplane.benchmarks.soak_stage RESULT FEEDS MINUTES` in an environment that
points to an empty directory; leaves what it saw in the file RESULT.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import django
import psutil

SHARES: Final = {"binance": 0.5, "aster": 0.3, "pacifica": 0.2}
STEP_MS: Final = 500
"""How often each contract's price moves."""
READY_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 2.0
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SoakVenue:
    """A paper venue of one dialect with so many contracts."""

    dialect: str
    port: int
    bases: Sequence[str]

    def configuration(self) -> Mapping[str, Any]:
        """Return what `run_paper_venue --config` reads."""
        return {
            "name": self.dialect,
            "dialect": self.dialect,
            "port": self.port,
            "stepMs": STEP_MS,
            "symbols": [{"base": base} for base in self.bases],
            "accounts": [],
        }


def main() -> None:
    """Start everything, watch, stop everything."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from controlplane.management.commands.demo import prepare_database
    from controlplane.supervision.programs import free_port
    from markets.models import Venue

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    result, feeds, minutes = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    prepare_database(result.parent, allow_url=False)
    Venue.objects.update(is_enabled=False)
    venues = [
        SoakVenue(dialect, free_port("127.0.0.1", 0), bases)
        for dialect, bases in shared_out(feeds).items()
    ]
    facts: dict[str, Any]
    try:
        facts = _watched(venues, result.parent, feeds, minutes)
    except TimeoutError as problem:
        facts = {"problem": str(problem)}
    result.write_text(json.dumps(facts))


def shared_out(feeds: int) -> dict[str, Sequence[str]]:
    """Return the base assets of each dialect's venue, `feeds` of them together."""
    bases = [f"C{number:03}" for number in range(feeds)]
    counts = {dialect: int(feeds * share) for dialect, share in SHARES.items()}
    counts["binance"] += feeds - sum(counts.values())
    shares: dict[str, Sequence[str]] = {}
    for dialect, count in counts.items():
        if count:
            shares[dialect], bases = bases[:count], bases[count:]
    return shares


def _watched(
    venues: Sequence[SoakVenue], directory: Path, feeds: int, minutes: float
) -> dict[str, Any]:
    deadline = time.monotonic() + READY_SECONDS
    with _venues_running(venues, directory):
        for venue in venues:
            _add(venue, deadline)
        with _program("run_feeds", "--json", stdout=subprocess.PIPE) as process:
            said = _Reports(process)
            _wait(lambda: said.is_well(feeds), deadline, said.trouble)
            return _samples(process, said, minutes, [venue.port for venue in venues])


def _samples(
    process: "subprocess.Popen[str]", said: "_Reports", minutes: float, ports: Sequence[int]
) -> dict[str, Any]:
    """Look at the process every LOOK_SECONDS; times are minutes since the first look."""
    seen, began = psutil.Process(process.pid), time.monotonic()
    quotes, spent = said.quotes, sum(seen.cpu_times()[:2])
    samples = []
    while (passed := time.monotonic() - began) < minutes * 60:
        if process.poll() is not None:
            raise TimeoutError("run_feeds ended")
        samples.append(
            {
                "minute": passed / 60,
                "rss": seen.memory_info().rss / 1e6,
                "fds": seen.num_fds(),
                "tasks": said.latest["tasks"],
            }
        )
        if len(samples) % 30 == 0:
            print(f"benchmark {samples[-1]['minute']:.0f} min: {samples[-1]}", flush=True)  # noqa: T201
        time.sleep(LOOK_SECONDS)
    sockets = [c for c in seen.net_connections("tcp") if c.raddr and c.raddr.port in ports]
    return {
        "samples": samples,
        "cpu": 100 * (sum(seen.cpu_times()[:2]) - spent) / passed,
        "rate": (said.quotes - quotes) / passed,
        "sockets": sum(c.status == psutil.CONN_ESTABLISHED for c in sockets),
        "unwell": said.unwell,
        "reconnects": said.reconnects,
    }


class _Reports:
    """What `run_feeds --json` says of itself, the latest of it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.latest: dict[str, Any] = {"feeds": [], "tasks": 0}
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.latest = json.loads(line)

    @property
    def quotes(self) -> int:
        return sum(feed["quotes"] for feed in self.latest["feeds"])

    @property
    def unwell(self) -> int:
        return sum(feed["status"] != "healthy" for feed in self.latest["feeds"])

    @property
    def reconnects(self) -> int:
        """How often channels stood anew, beyond the first time."""
        return sum(feed["connections"] - 1 for feed in self.latest["feeds"])

    def trouble(self) -> str:
        """Say which feeds are not well, and why."""
        rows = self.latest["feeds"]
        odd = [r for r in rows if r["status"] != "healthy" or r["marksTrouble"]]
        told = [f"{r['feedId']} {r['status']} {r['link']} {r['marksTrouble']}" for r in odd[:5]]
        return f"{len(odd)} of {len(rows)} feeds are not well: {'; '.join(told)}"

    def is_well(self, feeds: int) -> bool:
        """Tell whether so many feeds have quotes and marks."""
        rows = self.latest["feeds"]
        return len(rows) == feeds and not self.unwell and not any(r["marksTrouble"] for r in rows)


def _add(venue: SoakVenue, deadline: float) -> None:
    """Write a venue with its instruments and a feed for each."""
    from controlplane.base.audit import Actor, Surface
    from markets.jobs import instruments_sync
    from markets.models import MarketDataFeed, Venue
    from markets.venues.errors import VenueError

    row = Venue.objects.create(
        venue_id=f"soak-{venue.dialect}",
        name=venue.dialect,
        dialect=venue.dialect,
        environment="paper",
        rest_endpoint=f"http://127.0.0.1:{venue.port}",
        ws_endpoint=f"ws://127.0.0.1:{venue.port}",
    )

    def listed() -> bool:
        try:
            instruments_sync(row, actor=Actor(name="benchmark", surface=Surface.COMMAND))
        except VenueError:
            return False
        return True

    _wait(listed, deadline, lambda: f"{venue.dialect} lists nothing")
    for base in venue.bases:
        feed_id = f"{venue.dialect}-{base.lower()}"
        MarketDataFeed.objects.create(feed_id=feed_id, exchange=row, symbol=base)


@contextmanager
def _venues_running(venues: Sequence[SoakVenue], directory: Path) -> Iterator[None]:
    running = []
    try:
        for venue in venues:
            path = directory / f"{venue.dialect}.json"
            path.write_text(json.dumps(venue.configuration()))
            running.append(_start("run_paper_venue", "--config", str(path)))
        yield
    finally:
        _stop(running)


@contextmanager
def _program(*arguments: str, stdout: int) -> Iterator["subprocess.Popen[str]"]:
    process = _start(*arguments, stdout=stdout)
    try:
        yield process
    finally:
        _stop([process])


def _start(*arguments: str, stdout: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(command, stdout=stdout, text=True)  # noqa: S603 - our own command


def _stop(processes: "Sequence[subprocess.Popen[str]]") -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(condition: Callable[[], bool], deadline: float, problem: Callable[[], str]) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(problem())
        time.sleep(0.5)


if __name__ == "__main__":
    main()
