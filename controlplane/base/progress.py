"""A progress bar for long commands, shown on a terminal only."""

import time
from types import TracebackType
from typing import Any, Final, Self

WIDTH: Final = 30
REDRAW_SECONDS: Final = 0.1


class Progress:
    """Draws `label [#####     ] done/total` on `stream` while the block runs."""

    def __init__(self, stream: Any, *, total: int, label: str) -> None:
        self._stream = stream
        self._total = total
        self._label = label
        self._visible = bool(getattr(stream, "isatty", lambda: False)())
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._visible:
            self._stream.write("", ending="\n")

    def show(self, done: int) -> None:
        """Redraw with `done` of the total, at most ten times a second and always at the end."""
        now = time.monotonic()
        if not self._visible or (now - self._drawn < REDRAW_SECONDS and done < self._total):
            return
        self._drawn = now
        filled = WIDTH * min(done, self._total) // max(self._total, 1)
        bar = "#" * filled + " " * (WIDTH - filled)
        self._stream.write(f"\r{self._label} [{bar}] {done}/{self._total}", ending="")
        self._stream.flush()
