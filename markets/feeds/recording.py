"""Writes what venues' quote streams say to a capture, frame by frame, as it came.

A line is `<receipt clock, ns since the epoch> <raw frame>`: what `../shared/data` holds of Binance,
and what a paper venue plays (`venues/paper/capture.py`). Frames name their symbols, so feeds share
sockets here as they do in `run_feeds`.
"""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from controlplane.kernel.clock import Clock
from markets.feeds.plans import FeedPlan
from markets.feeds.trunks import TrunkKind, Trunks
from markets.venues.ports import MarketSession
from markets.venues.registry import VenueRegistry
from markets.venues.types import BookTop, MarketEvent

FLUSH_SECONDS: Final = 0.5
"""How late it may be noticed that a disk is full."""


class Capture:
    """A capture being written, gzipped when its name ends in `.gz`; an existing file is refused.

    Every method raises OSError when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.frames = 0
        self.bytes = 0
        # A device (such as a pipe to another program) is written to as it is.
        self._raw = path.open("wb" if path.exists() and not path.is_file() else "xb")
        self._file: IO[bytes] | gzip.GzipFile = self._raw
        if path.suffix == ".gz":
            self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", filename="", mtime=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:
            self._raw.close()

    def write(self, received_ns: int, frame: str | bytes) -> None:
        """Write a frame; a line break in it is only white space in JSON."""
        text = frame.encode() if isinstance(frame, str) else frame
        line = b"%d %b\n" % (received_ns, text.replace(b"\r", b" ").replace(b"\n", b" "))
        self._file.write(line)
        self.frames += 1
        self.bytes += len(line)

    def flush(self) -> None:
        self._file.flush()
        self._raw.flush()


class Recorder:
    """Records the quotes of some feeds into one capture. `quotes` counts them by feed."""

    def __init__(self, capture: Capture, registry: VenueRegistry, *, clock: Clock) -> None:
        self.quotes: Counter[str] = Counter()
        self._capture = capture
        self._trunks = Trunks(registry, clock, read=lambda session: _Kept(session, capture))

    async def run(self, plans: Sequence[FeedPlan]) -> None:
        """Record until cancelled; raises OSError, or what no new connection mends."""
        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(self._record(plan))
            group.create_task(self._flush())

    async def _record(self, plan: FeedPlan) -> None:
        assert plan.venue_symbol is not None

        def count(events: Sequence[MarketEvent], _received: float) -> None:
            self.quotes[plan.feed_id] += sum(isinstance(event, BookTop) for event in events)

        kind = TrunkKind(plan.dialect, plan.endpoint, plan.failover_ms / 1000)
        await self._trunks.serve(kind, plan.venue_symbol, count, _unwatched)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._capture.flush()


def _unwatched(connected: bool, reason: str, /) -> None:
    """Watch no link: what matters is whether quotes were heard."""


class _Kept:
    """A session whose frames are written down before they are read."""

    def __init__(self, session: MarketSession, capture: Capture) -> None:
        self._session = session
        self._capture = capture

    def receive(self, frame: str | bytes) -> Sequence[MarketEvent]:
        try:
            self._capture.write(time.time_ns(), frame)
        except OSError as error:
            raise CaptureFailed(error.strerror or str(error)) from error
        return self._session.receive(frame)


class CaptureFailed(Exception):
    """The capture cannot be written any more. No OSError: those are a connection's trouble."""
