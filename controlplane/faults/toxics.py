"""What a network can do to a connection, named as toxiproxy names it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final


class Way(StrEnum):
    """Which way bytes go: from who connected (up), back to him (down)."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class ToxicKind(StrEnum):
    """`TAKES` says which fields each needs."""

    LATENCY = "latency"
    """Each piece comes `milliseconds` late, and up to `jitter` more."""
    BANDWIDTH = "bandwidth"
    """At most `rate` bytes pass in a second."""
    SLICER = "slicer"
    """What is written at once comes in pieces of `size` bytes, `milliseconds` apart."""
    LIMIT_DATA = "limit_data"
    """The connection ends after `size` bytes."""
    TIMEOUT = "timeout"
    """A black hole: nothing passes; after `milliseconds` (0: never) the connection ends."""
    RESET_PEER = "reset_peer"
    """The connection is reset `milliseconds` after its first byte."""
    SLOW_CLOSE = "slow_close"
    """The end of one side is told to the other `milliseconds` late."""
    DOWN = "down"
    """Nobody listens: what is open is cut, and what comes is reset at once."""


TAKES: Final[dict[ToxicKind, frozenset[str]]] = {
    ToxicKind.LATENCY: frozenset({"milliseconds", "jitter"}),
    ToxicKind.BANDWIDTH: frozenset({"rate"}),
    ToxicKind.SLICER: frozenset({"size", "milliseconds"}),
    ToxicKind.LIMIT_DATA: frozenset({"size"}),
    ToxicKind.TIMEOUT: frozenset({"milliseconds"}),
    ToxicKind.RESET_PEER: frozenset({"milliseconds"}),
    ToxicKind.SLOW_CLOSE: frozenset({"milliseconds"}),
    ToxicKind.DOWN: frozenset(),
}
_NEEDS: Final[dict[ToxicKind, str]] = {
    ToxicKind.LATENCY: "milliseconds",
    ToxicKind.BANDWIDTH: "rate",
    ToxicKind.SLICER: "size",
    ToxicKind.LIMIT_DATA: "size",
    ToxicKind.SLOW_CLOSE: "milliseconds",
}


@dataclass(frozen=True, slots=True)
class Toxic:
    """One trouble and its numbers; `rate` is bytes a second. Raises ValueError when ill-formed."""

    kind: ToxicKind
    way: Way = Way.BOTH
    milliseconds: int = 0
    jitter: int = 0
    rate: int = 0
    size: int = 0

    def __post_init__(self) -> None:
        given = {item.name for item in fields(self) if getattr(self, item.name) != item.default} - {
            "kind",
            "way",
        }
        if unknown := sorted(given - TAKES[self.kind]):
            raise ValueError(f"{self.kind} does not take {', '.join(unknown)}.")
        needed = _NEEDS.get(self.kind)
        if needed and getattr(self, needed) <= 0:
            raise ValueError(f"{self.kind} needs {needed} above zero.")
        if min(self.milliseconds, self.jitter, self.rate, self.size) < 0:
            raise ValueError(f"The numbers of {self.kind} must not be negative.")

    @property
    def seconds(self) -> float:
        return self.milliseconds / 1000

    def befalls(self, way: Way) -> bool:
        return self.way in (Way.BOTH, way)

    def wait(self, chance: random.Random) -> float:
        """Return how many seconds a piece is kept."""
        return self.seconds + chance.uniform(0, self.jitter) / 1000

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), self.size):
            yield data[start : start + self.size]
