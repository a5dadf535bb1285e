"""An order intent's life: the table of legal moves, for code and for the database trigger.

A place is (state, submission). At most one send ever: `sending` is entered once, from
(pending, none). Terminal states absorb everything but more fills.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from controlplane.kernel.fsm import move


class IntentState(StrEnum):
    PENDING = "pending"
    SUBMITTED = "submitted"
    FILLED = "filled"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Submission(StrEnum):
    """What we know of the send: `unknown` is neither accepted nor refused."""

    NONE = "none"
    SENDING = "sending"
    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"


class IntentEvent(StrEnum):
    DENY = "deny"
    WITHDRAW = "withdraw"
    CLAIM = "claim"
    ACKNOWLEDGE = "acknowledge"
    REJECT = "reject"
    PROVE_UNSENT = "prove-unsent"
    LOSE = "lose"
    PROVE_ABSENT = "prove-absent"
    FILL = "fill"
    COMPLETE = "complete"
    END = "end"


class Place(NamedTuple):
    state: IntentState
    submission: Submission


_S, _B = IntentState, Submission
PENDING: Final = Place(_S.PENDING, _B.NONE)
SENDING: Final = Place(_S.SUBMITTED, _B.SENDING)
RESTING: Final = Place(_S.SUBMITTED, _B.ACKNOWLEDGED)
LOST: Final = Place(_S.SUBMITTED, _B.UNKNOWN)
FILLED: Final = Place(_S.FILLED, _B.ACKNOWLEDGED)
CANCELLED: Final = Place(_S.CANCELLED, _B.ACKNOWLEDGED)
REJECTED: Final = Place(_S.FAILED, _B.ACKNOWLEDGED)
DENIED: Final = Place(_S.FAILED, _B.NONE)
WITHDRAWN: Final = Place(_S.CANCELLED, _B.NONE)

_E = IntentEvent
INTENT_TABLE: Final[Mapping[tuple[Place, IntentEvent], Place]] = {
    (PENDING, _E.DENY): DENIED,
    (PENDING, _E.WITHDRAW): WITHDRAWN,
    (PENDING, _E.CLAIM): SENDING,
    (SENDING, _E.ACKNOWLEDGE): RESTING,
    (SENDING, _E.REJECT): REJECTED,
    (SENDING, _E.PROVE_UNSENT): DENIED,
    (SENDING, _E.LOSE): LOST,
    # The stream may tell of the order before the answer to the request arrives.
    (SENDING, _E.FILL): RESTING,
    (SENDING, _E.COMPLETE): FILLED,
    (SENDING, _E.END): CANCELLED,
    (LOST, _E.ACKNOWLEDGE): RESTING,
    (LOST, _E.FILL): RESTING,
    (LOST, _E.COMPLETE): FILLED,
    (LOST, _E.END): CANCELLED,
    (LOST, _E.REJECT): REJECTED,
    (LOST, _E.PROVE_ABSENT): DENIED,
    (RESTING, _E.ACKNOWLEDGE): RESTING,
    (RESTING, _E.FILL): RESTING,
    (RESTING, _E.COMPLETE): FILLED,
    (RESTING, _E.END): CANCELLED,
    (RESTING, _E.REJECT): REJECTED,
    # Fills that arrive after the end are booked; they may complete the order.
    (CANCELLED, _E.FILL): CANCELLED,
    (CANCELLED, _E.COMPLETE): FILLED,
    (REJECTED, _E.FILL): REJECTED,
    (REJECTED, _E.COMPLETE): FILLED,
    (DENIED, _E.FILL): REJECTED,
    (DENIED, _E.COMPLETE): FILLED,
}

PLACES: Final = frozenset({place for place, _event in INTENT_TABLE} | set(INTENT_TABLE.values()))
TERMINAL_STATES: Final = frozenset({_S.FILLED, _S.CANCELLED, _S.FAILED})


def advance(place: Place, event: IntentEvent) -> Place:
    """Return the place after `event`; raises IllegalMove where the table has none."""
    return move(INTENT_TABLE, place, event)
