"""What venues allow of sockets, and which channels of a connection have spoken. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

SPEAK_SECONDS: Final = 3.0
"""How long a channel that answers at once, or speaks each second, may take to do so."""
CONFIRMED: Final = "the user stream's key"
"""The channel of a stream that says nothing of itself and is confirmed by asking its venue."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What a venue allows one IP address.

    At most `connects` new sockets in any `window_seconds`, `at_once` open together (None: no such
    limit is known), and none lives longer than `life_seconds`. One carries the quotes of so many
    symbols, or the marks of so many.
    """

    connects: int = 300
    window_seconds: float = 300.0
    at_once: int | None = None
    life_seconds: float = 86_400.0
    quotes: int = 200
    marks: int = 200


USUAL: Final = SocketLimits()


class Channels:
    """The channels that one connection was opened for; each has `seconds` to prove itself.

    A session notes which have spoken: by an acknowledgement only where the venue gives one to
    good subscriptions alone, by the venue's own list of them, else by data. Pongs prove nothing.
    `on_spoke` is told of each once.
    """

    __slots__ = ("missing", "on_spoke", "seconds")

    def __init__(self, names: Iterable[str] = (), *, seconds: float = SPEAK_SECONDS) -> None:
        self.missing = set(names)
        self.seconds = seconds
        self.on_spoke: Callable[[str], None] = _untold

    def spoke(self, name: str) -> None:
        """Note that a channel works; others than those asked for do not matter."""
        if name in self.missing:
            self.missing.discard(name)
            self.on_spoke(name)


def _untold(_name: str) -> None:
    """Tell nobody."""
