"""The supervisor keeps programs running and leaves none behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import get_commands
from django.utils import timezone

from controlplane.supervision import clusters, programs
from monitoring.jobs import Canary
from monitoring.models import ClusterPulse

ROOT = Path(__file__).resolve().parent.parent.parent
# Each program writes its pid to a file of its own and then does as the test says.
SUPERVISED = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
from controlplane.supervision.supervisor import Program, Supervisor
directory = Path(sys.argv[1])

def note(name):
    path = directory / name
    path.write_text((path.read_text() if path.exists() else "") + f"{os.getpid()} ")

def steady():
    note("steady")
    print("a line\\nand half", end="")
    time.sleep(600)

def parent():
    wait = lambda: (note("child"), time.sleep(600))
    child = multiprocessing.get_context("fork").Process(target=wait)
    child.start()
    note("parent")
    child.join()

def fragile():
    note("fragile")
    time.sleep(0.1)
    raise RuntimeError("broken on purpose")

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("stubborn")
    time.sleep(600)

def last():
    note("last")
    sys.exit(7)

def say(name, line):
    sys.stderr.write(f"{name}|{line}\\n")

table = {f.__name__: f for f in (steady, parent, fragile, stubborn, last)}
programs = [Program(name, table[name], decisive=name == "last") for name in sys.argv[2:]]
sys.exit(Supervisor(programs, say=say, grace=1.0).run())
"""


class Supervised:
    """A supervisor in a process of its own, and what its programs noted."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.directory = directory
        with (directory / "output").open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISED, str(directory), *names], stderr=output, cwd=ROOT
            )
        self.seen: set[int] = set()

    def pids(self, name: str, number: int = 1) -> list[int]:
        path = self.directory / name
        wait_until(lambda: path.exists() and len(path.read_text().split()) >= number)
        found = [int(pid) for pid in path.read_text().split()]
        self.seen.update(found)
        return found

    def output(self) -> str:
        return (self.directory / "output").read_text()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(*names: str) -> Supervised:
        started.append(Supervised(tmp_path, *names))
        return started[-1]

    yield start
    for one in started:
        with suppress(ProcessLookupError):
            one.end(signal.SIGKILL)
        wait_until(lambda one=one: not any(alive(pid) for pid in one.seen))  # type: ignore[misc]


Supervise = Callable[..., Supervised]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_every_program_and_its_children(supervise: Supervise, number: int) -> None:
    one = supervise("steady", "parent", "stubborn")
    for name in ("steady", "parent", "child", "stubborn"):
        one.pids(name)
    began = time.monotonic()
    assert one.end(number) == 0
    assert time.monotonic() - began < 4
    assert not [pid for pid in one.seen if alive(pid)]


def test_killed_supervisor_leaves_no_orphan(supervise: Supervise) -> None:
    one = supervise("steady", "parent", "stubborn")
    for name in ("steady", "parent", "child"):
        one.pids(name)
    one.end(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in one.seen))


def test_ended_program_starts_again_later_and_later(supervise: Supervise) -> None:
    one = supervise("steady", "fragile")
    assert len(set(one.pids("fragile", 3))) == 3
    assert "starting again in 0.5 s" in one.output()
    assert "starting again in 1 s" in one.output()
    assert "RuntimeError: broken on purpose" in one.output()
    assert one.pids("steady") == one.pids("steady", 1)


def test_killed_program_takes_its_children_along_and_starts_again(supervise: Supervise) -> None:
    one = supervise("parent")
    (child,), (parent,) = one.pids("child"), one.pids("parent")
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: not alive(child))
    assert len(one.pids("child", 2)) == 2


def test_end_of_a_decisive_program_ends_all_with_its_code(supervise: Supervise) -> None:
    one = supervise("steady", "last")
    one.pids("steady")
    assert one.process.wait(10) == 7
    assert not alive(one.pids("steady")[0])


def test_lines_carry_their_programs_name(supervise: Supervise) -> None:
    one = supervise("steady")
    one.pids("steady")
    wait_until(lambda: "steady|a line" in one.output())
    one.end(signal.SIGTERM)
    assert "steady|and half" in one.output()


class TestWatch:
    pytestmark = pytest.mark.django_db

    @pytest.fixture
    def silent(self) -> list[str]:
        return []

    @pytest.fixture
    def watch(self, silent: list[str], monkeypatch: pytest.MonkeyPatch) -> clusters.Watch:
        monkeypatch.setattr(clusters.connections, "close_all", lambda: None)
        monkeypatch.setattr(clusters, "CANARY_SECONDS", 0)
        return clusters.Watch(lambda cluster, silence: silent.append(cluster))

    def age(self, watch: clusters.Watch, seconds: int) -> None:
        long_ago = timezone.now() - timedelta(seconds=seconds)
        watch._since = dict.fromkeys(watch._since, long_ago)

    def test_cluster_unheard_for_a_minute_is_reported_once(
        self, watch: clusters.Watch, silent: list[str]
    ) -> None:
        self.age(watch, 61)
        now = timezone.now()
        ClusterPulse.objects.create(cluster="sync", asked_at=now, heard_at=now)
        watch.turn()
        watch.turn()
        assert silent == ["hedge"]

    def test_cluster_within_its_minute_is_left_alone(
        self, watch: clusters.Watch, silent: list[str]
    ) -> None:
        self.age(watch, 55)
        watch.turn()
        assert silent == []

    def test_dead_cluster_gathers_one_canary(self, watch: clusters.Watch) -> None:
        from django_q.models import OrmQ

        for _ in range(3):
            watch.turn()
        assert sorted(OrmQ.objects.values_list("key", flat=True)) == ["hedge", "sync"]


@pytest.mark.django_db
def test_canary_leaves_a_pulse_and_no_job_run() -> None:
    from controlplane.base import jobs
    from monitoring.models import JobRun

    asked = timezone.now()
    jobs.execute(Canary.name, {"cluster": "hedge", "asked_at": asked.isoformat()})
    pulse = ClusterPulse.objects.get(pk="hedge")
    assert (pulse.asked_at, pulse.heard_at >= asked) == (asked, True)
    assert JobRun.objects.count() == 0


def test_every_program_of_ours_exists() -> None:
    assert {"run_feeds", "run_sentinel"} <= set(get_commands())


def test_what_recovers_after_a_crash_starts_first() -> None:
    names = [program.name for program in programs.table(host="127.0.0.1", port=0)]
    assert names == ["sentinel", "feeds", "web", "q-sync", "q-hedge"]


def test_what_starts_first_waits_for_no_web_server() -> None:
    """Twisted is a fifth of what a start imports, and web alone needs it."""
    code = "import django, sys; django.setup(); print('twisted' in sys.modules, gc.isenabled())"
    told = subprocess.run(
        [sys.executable, "-c", f"import gc; gc.disable(); {code}"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "controlplane.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["False", "True"]


def test_no_port_is_chosen_twice_before_anybody_listens_on_it() -> None:
    chosen = [programs.free_port("127.0.0.1", 0) for _ in range(1000)]

    assert len(set(chosen)) == 1000
    assert programs.free_port("127.0.0.1", chosen[0]) == chosen[0], "a port by name is the asker's"


@pytest.mark.slow
def test_up_serves_runs_both_clusters_and_stops_cleanly(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "CONTROLPLANE_VAR": str(tmp_path),
        "EMBEDDED_POSTGRES_DURABLE": "0",
        "DATABASE_URL": "",
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=environment,
        )
    try:
        assert process.stdout is not None
        up: dict[str, Any] = json.loads(process.stdout.readline())
        assert set(up["pids"]) == {"web", "feeds", "sentinel", "q-sync", "q-hedge"}
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(15) == 0
        assert "ended with code" not in (tmp_path / "log").read_text()
        wait_until(lambda: not any(alive(child.pid) for child in family))
    finally:
        process.kill()
