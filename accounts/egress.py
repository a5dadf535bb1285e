"""The one way out: clients of accounts, each on its account's proxy, on one event loop.

Synchronous code (workers, sentinel, commands) uses `run` with a client from `execution_client`;
a process has one background event loop, so sessions, markets and TLS state stay warm between
jobs.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on this process's background event loop and return its result."""
    return asyncio.run_coroutine_threadsafe(work, _background_loop()).result()


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="egress", daemon=True).start()
        return _loop
