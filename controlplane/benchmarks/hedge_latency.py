"""From a breach to the hedge's order accepted, by the paper venues' own clock.

The whole product runs as the demo does, in processes and a database of its own under a temporary
directory. Somebody trades on the accounts through the venues' control endpoints, one trade at a
time, and the venues' ledgers tell when each trade was and when the order that hedges it came.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any, Final

from django.conf import settings

from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report
from controlplane.benchmarks.stage import longest

GOALS: Final = (
    Goal("p95", 250),
    Goal("p99", 500),
    Goal("missed", 0),
    Goal("disagreements", 0),
)
STOP_SECONDS: Final = 30
LINES_KEPT: Final = 60


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure `count` hedges; raises BenchmarkFailed when the product cannot be started."""
    directory = Path(tempfile.mkdtemp(prefix="hedge-latency-"))
    try:
        facts = _measured(directory, count, say)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return Report("hedge-latency", {name: Figure(*pair) for name, pair in facts.items()}, GOALS)


def _measured(directory: Path, count: int, say: Callable[[str], None]) -> dict[str, Any]:
    result = directory / "result.json"
    environment = {
        **os.environ,
        "CONTROLPLANE_VAR": str(directory),
        "CONTROLPLANE_ENV": "local",
        "DATABASE_URL": "",
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "controlplane.benchmarks.stage", str(result), str(count)]
    stage = subprocess.Popen(  # noqa: S603 - our own module
        command,
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: deque[str] = deque(maxlen=LINES_KEPT)
    limit = Timer(longest(count) + STOP_SECONDS, stage.terminate)
    limit.start()
    try:
        assert stage.stdout is not None
        for line in stage.stdout:
            said.append(line)
            program, _, text = line.partition(" ")
            if program == "benchmark":
                say(text.strip())
        stage.wait(STOP_SECONDS)
    finally:
        limit.cancel()
        if stage.poll() is None:
            stage.send_signal(signal.SIGTERM)
            stage.wait(STOP_SECONDS)
    if not result.exists():
        raise BenchmarkFailed("".join(said))
    facts: dict[str, Any] = json.loads(result.read_text())
    if "problem" in facts:
        raise BenchmarkFailed(str(facts["problem"]))
    return facts
