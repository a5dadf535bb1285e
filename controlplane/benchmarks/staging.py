"""Runs a benchmark's stage: a module that has the product, processes and database, to itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Timer
from typing import Any, Final

from django.conf import settings

from controlplane.benchmarks.report import BenchmarkFailed

STOP_SECONDS: Final = 30
LINES_KEPT: Final = 60


def measured(
    module: str,
    *,
    count: int,
    seconds: float,
    say: Callable[[str], None],
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what a stage of `controlplane.benchmarks` leaves, at most so many seconds later.

    Raises BenchmarkFailed, with the stage's last words, when it leaves nothing or a problem.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"benchmark-{module}-"))
    try:
        return _facts(module, directory, [str(count), *arguments], seconds, say)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _facts(
    module: str,
    directory: Path,
    arguments: Sequence[str],
    seconds: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    result = directory / "result.json"
    environment = {
        **os.environ,
        "CONTROLPLANE_VAR": str(directory),
        "CONTROLPLANE_ENV": "local",
        "DATABASE_URL": "",
        "LOG_LEVEL": "WARNING",
    }
    name = f"controlplane.benchmarks.{module}"
    command = [sys.executable, "-m", name, str(result), *arguments]
    stage = subprocess.Popen(  # noqa: S603 - our own module
        command,
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: deque[str] = deque(maxlen=LINES_KEPT)
    limit = Timer(seconds + STOP_SECONDS, stage.terminate)
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
