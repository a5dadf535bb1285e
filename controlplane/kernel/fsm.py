"""State machines as tables: all legal moves in one mapping, anything else raises."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

from controlplane.kernel.errors import IllegalMove

State = TypeVar("State", bound=Hashable)
Event = TypeVar("Event", bound=Hashable)


def move(table: Mapping[tuple[State, Event], State], state: State, event: Event) -> State:
    """Return the state after `event`; raises IllegalMove when the table has no such move."""
    try:
        return table[state, event]
    except KeyError:
        raise IllegalMove(
            f"{event} is not possible in {state}.",
            details={"state": str(state), "event": str(event)},
        ) from None
