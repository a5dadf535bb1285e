"""Moves of order intents: every one goes along the table in `domain/intent.py`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.base.prepared import prepared
from controlplane.base.rows import rows_set
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import Severity
from strategies.domain.intent import IntentEvent, IntentState, Place, Submission, advance
from strategies.models import OrderIntent
from strategies.services.telling import occurrence_of

REASON_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a locked intent, and the columns that change with it."""

    intent: OrderIntent
    event: IntentEvent
    reason: str = ""
    severity: Severity | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> Place:
        """Where the move leads; raises IllegalMove off the table."""
        return advance(place_of(self.intent), self.event)


def intent_locked(intent_id: UUID | str) -> OrderIntent:
    """Return the intent, its row locked until the transaction ends; raises DoesNotExist."""
    found: OrderIntent | None = _locked.first(intent_ids=[UUID(str(intent_id))])
    if found is None:
        raise OrderIntent.DoesNotExist(intent_id)
    return found


def intents_locked(intent_ids: Collection[UUID]) -> dict[UUID, OrderIntent]:
    """Return intents by id, locked likewise in the order in which everybody locks them."""
    return {intent.pk: intent for intent in _locked(intent_ids=list(intent_ids))}


@prepared
def _locked(intent_ids: Any) -> Any:
    # Not the account: its keys would be decrypted each time, and a claim has its own.
    locked = OrderIntent.objects.select_for_update(of=("self",))
    return locked.select_related("instrument", "module").filter(pk__any=intent_ids).order_by("pk")


def intent_move(
    intent: OrderIntent,
    event: IntentEvent,
    *,
    actor: Actor,
    reason: str = "",
    severity: Severity | None = None,
    **changes: Any,
) -> OrderIntent:
    """Move a locked intent along the table and tell of it; raises IllegalMove off the table."""
    intents_move([Move(intent, event, reason, severity, changes)], actor=actor)
    return intent


def intents_move(moves: Sequence[Move], *, actor: Actor) -> None:
    """Move locked intents along the table and tell of them, all or none.

    Raises IllegalMove off the table, and Conflict for a row that does not stand where its object
    says it does.
    """
    places = [(place_of(move.intent), move.target) for move in moves]
    intents_set(
        [(it.intent, new, _columns(it)) for it, (_, new) in zip(moves, places, strict=True)]
    )
    events.publish(
        *(
            occurrence_of(
                move.intent,
                _text(move, old, new),
                actor=actor,
                event=str(move.event),
                severity=move.severity or _severity(new),
            )
            for move, (old, new) in zip(moves, places, strict=True)
        )
    )


def _columns(move: Move) -> dict[str, Any]:
    reason = {"reason": move.reason[:REASON_LIMIT]} if move.reason else {}
    return {**move.changes, **reason}


def _text(move: Move, old: Place, new: Place) -> str:
    way = f"{old.state}/{old.submission} → {new.state}/{new.submission}"
    return f"{move.intent}: {way}{': ' + move.reason if move.reason else ''}"[:REASON_LIMIT]


def intents_set(rows: Iterable[tuple[OrderIntent, Place, Mapping[str, Any]]]) -> None:
    """Write columns of locked intents; each row must still stand where its object says it does.

    Raises Conflict when one does not.
    """
    now = timezone.now()
    changes = [
        (
            intent,
            {
                **changed,
                "state": str(place.state),
                "submission": str(place.submission),
                "updated_at": now,
            },
        )
        for intent, place, changed in rows
    ]
    written = rows_set(changes, standing=("state", "submission"))
    for intent, _ in changes:
        if intent.pk not in written:
            raise Conflict(f"Intent {intent.pk} does not stand any more where it was read.")


def place_of(intent: OrderIntent) -> Place:
    """Return where the intent stands in its table."""
    return Place(IntentState(intent.state), Submission(intent.submission))


def _severity(place: Place) -> Severity:
    troubled = place.state is IntentState.FAILED or place.submission is Submission.UNKNOWN
    return Severity.WARN if troubled else Severity.INFO
