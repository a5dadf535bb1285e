"""A last look before an order leaves: whoever sends it may ask once more whether it is wanted.

A request may wait for room, or for the venue's clock, after everything about it was checked.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

LastLook = Callable[[], Awaitable[None]]
last_look: Final[ContextVar[LastLook | None]] = ContextVar("last_look", default=None)
"""Asked when the limits let an order pass, before it is signed; raises Withheld to keep it."""
