"""What the sender of a request may say of it beyond its cost.

A last look before an order leaves: whoever sends it may ask once more whether it is wanted, for
it may have waited for room, or for the venue's clock, after everything about it was checked. And
that what is asked for is urgent: an emergency stop's questions may use what is kept for cancels.
And that it recovers: routine reads leave room for those that find out what nobody watched.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Final

LastLook = Callable[[], Awaitable[None]]
last_look: Final[ContextVar[LastLook | None]] = ContextVar("last_look", default=None)
"""Asked when the limits let an order pass, before it is signed; raises Withheld to keep it."""
is_urgent: Final[ContextVar[bool]] = ContextVar("is_urgent", default=False)
"""Whether requests made here count as urgent, whatever they are."""
is_recovery: Final[ContextVar[bool]] = ContextVar("is_recovery", default=False)
"""Whether reads made here may use what routine ones leave; `recovering` sets it."""


def recovering(*, really: bool = True) -> AbstractContextManager[None]:
    """Have the reads made within go before routine ones; not `really`: as they are.

    Coroutines handed to another loop from here take it along.
    """
    return _recovery(is_recovery.get() or really)


def routine(*, really: bool = True) -> AbstractContextManager[None]:
    """Have the reads made within be routine ones, whatever is around; not `really`: as they are."""
    return _recovery(is_recovery.get() and not really)


@contextmanager
def _recovery(it_is: bool) -> Iterator[None]:
    token = is_recovery.set(it_is)
    try:
        yield
    finally:
        is_recovery.reset(token)
