"""Where processes tell each other of bans. This layer knows the port; the shared database is
behind it, given by whoever starts the process.
"""

from collections.abc import Mapping
from typing import Protocol


class Board(Protocol):
    """Both methods may block and are called off the event loop; both may raise anything."""

    def post(self, key: str, seconds: int, reason: str) -> None:
        """Tell everybody that `key` is banned for so long from now; never shortens a ban."""
        ...

    def read(self) -> Mapping[str, int]:
        """Return the seconds left of every ban that lasts, by key, rounded up."""
        ...
