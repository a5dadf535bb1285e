"""What streams said that was not believed: counted, its beginning kept, and told of in time.

A frame larger than we take, or one that is none, is never read: the beginning of it stays, and
its connection ends, since what follows it on the same socket cannot be found any more.
"""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import PayloadTooBig, ProtocolError

from controlplane.kernel.secrets import redact
from markets.venues.types import Quarantined

HEAD_KEPT: Final = 120
"""So many bytes of what was not read are kept."""
TELL_SECONDS: Final = 600.0
"""How long a reason that goes on is not told of again."""
ORDINARY: Final = frozenset({"out-of-order"})
"""What venues do without lying: it is counted and dropped, and nobody is told."""


@dataclass(slots=True)
class Disbelief:
    """One stream's account of what was not believed. `now` is monotonic seconds.

    `untold` is what somebody must be told of: the first of each reason, and one more whenever
    that reason goes on for TELL_SECONDS. It stays until `told`.
    """

    counts: Counter[str] = field(default_factory=Counter)
    untold: dict[str, Quarantined] = field(default_factory=dict)
    _told_at: dict[str, float] = field(default_factory=dict)

    def note(self, event: Quarantined, now: float) -> bool:
        """Count what was not believed; return whether it is news."""
        self.counts[event.reason] += 1
        at = self._told_at.get(event.reason)
        if event.reason in ORDINARY or (at is not None and now - at < TELL_SECONDS):
            return False
        self._told_at[event.reason] = now
        self.untold[event.reason] = event
        return True

    def news(self) -> Sequence[Quarantined]:
        return tuple(self.untold.values())

    def told(self, news: Sequence[Quarantined]) -> None:
        """Forget what has been told, unless something newer took its place."""
        for event in news:
            if self.untold.get(event.reason) is event:
                del self.untold[event.reason]


class StreamSocket(ClientConnection):
    """A connection that keeps the beginning of what it could not read, and why it could not."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unread: Quarantined | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.parser_exc is not None and self.unread is None:
            self.unread = _unread(self.protocol.parser_exc, data)


def _unread(error: Exception, data: bytes) -> Quarantined | None:
    """Return what was not read; `data` is what arrived together with its header."""
    if isinstance(error, PayloadTooBig):
        header = struct.pack("!BQ", 127, error.size or 0)
        start = data.find(header) + len(header) if header in data else 0
        return Quarantined("oversized", _described(f"{error.size} bytes", data[start:]))
    if isinstance(error, ProtocolError | UnicodeDecodeError):
        return Quarantined("garbage", _described(str(error)[:60], data))
    return None


def _described(what: str, data: bytes) -> str:
    return redact(f"{what}: {data[:HEAD_KEPT]!r}")
