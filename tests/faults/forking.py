"""Runs pytest over and over: each time in a fork that has imported all that is not ours already.

Started as a file, not as a module, so that nothing of the tree it lies in gets imported. Reads one
JSON object a line: `tree` to run in, `arguments` of pytest, `output` to write to, `seconds` it may
take; answers each with a line of the exit code, -1 when it was stopped.
"""

import json
import os
import signal
import sys
import time
from importlib import import_module
from typing import Any, Final

IMPORTED: Final = (
    "aiohttp.web",
    "aiohttp_socks",
    "cffi",
    "cryptography.fernet",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.db.models",
    "django.forms",
    "django.template",
    "django.test",
    "hypothesis.stateful",
    "hypothesis.strategies",
    "msgspec",
    "nacl.signing",
    "psycopg",
    "pytest",
    "pytest_asyncio.plugin",
    "pytest_django.plugin",
    "websockets.asyncio.client",
    "xdist.plugin",
)
"""What takes longest of what the tests import, and needs no settings."""


def main() -> None:
    for name in IMPORTED:
        import_module(name)
    signal.signal(signal.SIGTERM, _stop)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _run(order)
        sys.stdout.write(f"{_ended(child, order['seconds'])}\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> None:
    code = -1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        os.chdir(order["tree"])
        sys.path[0] = order["tree"]
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        import pytest

        code = int(pytest.main(order["arguments"]))
        sys.stdout.flush()
    finally:
        os._exit(code & 0xFF)  # whatever threads it has left


def _ended(child: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    ended = 0
    try:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return -1
    finally:
        if not ended:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _stop(*_signal: object) -> None:
    """End with whatever is being run."""
    sys.exit(1)


if __name__ == "__main__":
    main()
