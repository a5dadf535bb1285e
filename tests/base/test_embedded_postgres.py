"""The embedded server survives killed processes and leaves none behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from controlplane.embedded_postgres import cluster

ROOT = Path(__file__).resolve().parent.parent.parent
HOLDER = """
import sys
from pathlib import Path
import psycopg
from controlplane.embedded_postgres import server
for line in sys.stdin:
    directory = server.running(Path(sys.argv[1]), "controlplane", durable=False)
    with psycopg.connect(host=str(directory), user="postgres", dbname="controlplane") as c:
        fsync = c.execute("SHOW fsync").fetchone()[0]
    print(directory, fsync, flush=True)
"""


class Holder:
    """A process that uses the server until it ends."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("connect\n")
        self.process.stdin.flush()

    def answer(self) -> Path:
        """Return the socket directory once a query on the server has worked."""
        assert self.process.stdout is not None
        directory, _, fsync = self.process.stdout.readline().strip().rpartition(" ")
        assert fsync == "off"
        return Path(directory)

    def connect(self) -> Path:
        self.ask()
        return self.answer()

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(10)


Start = Callable[[], Holder]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def holder(data_dir: Path) -> Iterator[Start]:
    started: list[Holder] = []

    def start() -> Holder:
        started.append(Holder(data_dir))
        return started[-1]

    yield start
    for one in started:
        with suppress(ProcessLookupError):
            one.end(signal.SIGKILL)
    wait_until(lambda: not servers(data_dir))


def servers(data_dir: Path) -> list[psutil.Process]:
    """Return the postmasters and keepers of this data directory."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(data_dir) in process.cmdline() and process.ppid() != os.getpid():
                found.append(process)
    return found


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postmaster.pid").read_text().split("\n", 1)[0]))


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process has let go of its files; its parent may not have noticed."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_two_starters_at_once_share_one_server_that_stops_with_the_last(
    holder: Start, data_dir: Path
) -> None:
    first, second = holder(), holder()
    first.ask()
    second.ask()
    assert first.answer() == second.answer() == data_dir
    assert len(servers(data_dir)) == 2  # one postmaster, one keeper
    first.end()
    time.sleep(0.3)
    second.connect()
    second.end()
    wait_until(lambda: not servers(data_dir))
    assert not (data_dir / "postmaster.pid").exists()


def test_killed_holders_leave_no_server_behind(holder: Start, data_dir: Path) -> None:
    one, other = holder(), holder()
    one.connect()
    other.connect()
    one.end(signal.SIGKILL)
    other.connect()
    other.end(signal.SIGKILL)
    wait_until(lambda: not servers(data_dir))
    holder().connect()


def test_killed_server_is_started_again_for_those_who_use_it(holder: Start, data_dir: Path) -> None:
    one, other = holder(), holder()
    one.connect()
    other.connect()
    killed = postmaster(data_dir)
    killed.kill()
    killed.wait(10)
    one.ask()
    other.ask()
    assert one.answer() == other.answer() == data_dir
    assert postmaster(data_dir).pid != killed.pid
    assert len(servers(data_dir)) == 2


def test_killed_keeper_is_replaced_at_the_next_connection(holder: Start, data_dir: Path) -> None:
    one = holder()
    one.connect()
    (keeper,) = (p for p in servers(data_dir) if p.pid != postmaster(data_dir).pid)
    keeper.kill()
    wait_until(lambda: has_ended(keeper))
    one.connect()
    one.end(signal.SIGKILL)
    wait_until(lambda: not servers(data_dir))


def test_pid_file_naming_a_stranger_does_not_stop_the_start(holder: Start, data_dir: Path) -> None:
    one = holder()
    one.connect()
    lines = (data_dir / "postmaster.pid").read_text().split("\n")
    one.end()
    wait_until(lambda: not servers(data_dir))
    pid_file = data_dir / "postmaster.pid"
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert holder().connect() == data_dir


def test_interrupted_first_start_is_begun_anew(holder: Start, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "base").mkdir()
    (data_dir / "base" / "half").write_text("written")
    assert holder().connect() == data_dir


class TestLongPath:
    @pytest.fixture
    def data_dir(self, tmp_path: Path) -> Path:
        return tmp_path / ("long-" * 20) / "it's here" / "postgres"

    def test_socket_moves_to_a_short_path(self, holder: Start, data_dir: Path) -> None:
        directory = holder().connect()
        assert directory != data_dir
        assert directory == cluster.socket_dir(data_dir)
        assert len(str(directory / cluster.SOCKET_NAME)) < 100


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
class TestOrdinaryUser:
    @pytest.fixture
    def data_dir(self, tmp_path: Path) -> Path:
        return tmp_path / "postgres"

    def test_server_runs_as_the_owner_of_its_data(self, holder: Start, data_dir: Path) -> None:
        data_dir.mkdir()
        os.chown(data_dir, 65534, 65534)
        directory = holder().connect()
        assert {p.uids().real for p in servers(data_dir)} == {65534}
        with psycopg.connect(host=str(directory), user="postgres", dbname="controlplane") as c:
            assert c.execute("SELECT 1").fetchone() == (1,)
