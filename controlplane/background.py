"""Work beside a loop that must not wait: on a few threads, each piece of it once at a time."""

import logging
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import close_old_connections

logger = logging.getLogger(__name__)


class Background:
    """Runs pieces of work by key. Without threads they run at once, in the caller's."""

    def __init__(self, threads: int = 0) -> None:
        self._pool = ThreadPoolExecutor(threads, "background") if threads else None
        self._busy: set[Hashable] = set()
        self._lock = threading.Lock()

    @property
    def has_threads(self) -> bool:
        """Whether work goes on beside the caller."""
        return self._pool is not None

    def start(self, key: Hashable, work: Callable[[], Any]) -> bool:
        """Begin `work` unless that of the same key is under way; return whether it began."""
        with self._lock:
            if key in self._busy:
                return False
            self._busy.add(key)
        if self._pool is None:
            self._do(key, work)
        else:
            self._pool.submit(self._on_thread, key, work)
        return True

    def close(self) -> None:
        """Begin nothing more; what is under way ends by itself."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _on_thread(self, key: Hashable, work: Callable[[], Any]) -> None:
        close_old_connections()
        try:
            self._do(key, work)
        finally:
            close_old_connections()

    def _do(self, key: Hashable, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception:
            logger.exception("Work in the background broke: %s", key)
        finally:
            with self._lock:
                self._busy.discard(key)
