"""An emergency stop's life: the table of legal moves, for code and for the database triggers.

Every account of a stop goes along it on its own; the stop itself stands where its least advanced
account does, so it is never called done while one is not.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from controlplane.kernel.fsm import move


class StopScope(StrEnum):
    ACCOUNT = "account"
    BOOK = "book"
    VENUE = "venue"
    MODULE = "module"
    ALL = "all"


class StopTrigger(StrEnum):
    """Who pulled it: a person, a watched limit, or an exercise."""

    MANUAL = "manual"
    DRAWDOWN = "drawdown"
    MARGIN = "margin"
    REJECTS = "rejects"
    MISMATCH = "mismatch"
    STALE_DATA = "stale-data"
    DRILL = "drill"


class StopState(StrEnum):
    """`latched`: confirmed by the venue; it stays so until a person releases it."""

    ENGAGED = "engaged"
    CANCELLING = "cancelling"
    FLATTENING = "flattening"
    VERIFYING = "verifying"
    LATCHED = "latched"
    RELEASED = "released"


class StopEvent(StrEnum):
    BEGIN = "begin"
    CANCELLED = "cancelled"
    KEEP = "keep"
    FLAT = "flat"
    CONFIRM = "confirm"
    REOPEN = "reopen"
    RELEASE = "release"


_S, _E = StopState, StopEvent
STOP_TABLE: Final[Mapping[tuple[StopState, StopEvent], StopState]] = {
    (_S.ENGAGED, _E.BEGIN): _S.CANCELLING,
    (_S.CANCELLING, _E.CANCELLED): _S.FLATTENING,
    # Positions are kept where the stop was asked to leave them.
    (_S.CANCELLING, _E.KEEP): _S.VERIFYING,
    (_S.FLATTENING, _E.FLAT): _S.VERIFYING,
    (_S.VERIFYING, _E.CONFIRM): _S.LATCHED,
    # An order or a position has come to light after all.
    (_S.FLATTENING, _E.REOPEN): _S.CANCELLING,
    (_S.VERIFYING, _E.REOPEN): _S.CANCELLING,
    (_S.LATCHED, _E.REOPEN): _S.CANCELLING,
    (_S.LATCHED, _E.RELEASE): _S.RELEASED,
}
STOP_MOVES: Final = frozenset((old, new) for (old, _event), new in STOP_TABLE.items())
_LINE: Final = tuple(StopState)

RETRY_FIRST: Final = timedelta(seconds=1)
RETRY_MOST: Final = timedelta(seconds=30)


def advance(state: StopState, event: StopEvent) -> StopState:
    """Return the state after `event`; raises IllegalMove where the table has none."""
    return move(STOP_TABLE, state, event)


def overall(states: Iterable[StopState]) -> StopState:
    """Return where a stop stands: at its least advanced account; latched when it has none."""
    return min(states, key=_LINE.index, default=StopState.LATCHED)


def path(old: StopState, new: StopState) -> Sequence[StopState]:
    """Return the states a stop passes from `old` to `new`, each a legal move from the last."""
    at, end = _LINE.index(old), _LINE.index(new)
    if end >= at:
        return _LINE[at + 1 : end + 1]
    return _LINE[1 : end + 1]


def retry_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts that failed: 1 s, 2 s, 4 s, at most 30 s."""
    return min(RETRY_MOST, RETRY_FIRST * (1 << min(max(attempts, 1) - 1, 5)))
