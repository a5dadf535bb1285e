"""Closing an order of unknown fate by hand: one person proposes, another one confirms."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.events import EventType, Occurrence, Severity
from strategies import services
from strategies.domain.intent import LOST, IntentEvent
from strategies.models import OrderIntent, UnknownClosure

PROPOSED = audit.register("order.close-proposed", label=_("Close of an unknown order proposed"))
CONFIRMED = audit.register("order.close-confirmed", label=_("Close of an unknown order confirmed"))


@transaction.atomic
def close_propose(*, intent: OrderIntent, actor: Actor, reason: str) -> OrderIntent:
    """Propose to take an order of unknown fate for not accepted; nothing moves yet.

    Raises Denied for a machine or without a reason, Conflict when the order's fate is known or a
    proposal stands already.
    """
    user_id = _person(actor, reason)
    locked = _unknown(intent)
    if UnknownClosure.objects.filter(intent=locked).exists():
        raise Conflict(f"The close of {locked.pk} was proposed already; another person confirms.")
    with audit.context(PROPOSED, actor=actor, reason=reason):
        UnknownClosure.objects.create(intent=locked, proposed_by_id=user_id, proposed_reason=reason)
    _tell(locked, PROPOSED, actor, reason)
    return locked


@transaction.atomic
def close_confirm(*, intent: OrderIntent, actor: Actor, reason: str) -> OrderIntent:
    """Take an order of unknown fate for not accepted, as another person proposed.

    Raises Denied for a machine, without a reason, or for the person who proposed it; Conflict
    when nothing was proposed or the order's fate has become known. Should the venue show the
    order later, its fills are booked all the same.
    """
    user_id = _person(actor, reason)
    locked = _unknown(intent)
    closure = UnknownClosure.objects.select_for_update().filter(intent=locked).first()
    if closure is None:
        raise Conflict(f"Nobody has proposed to close {locked.pk}.")
    if closure.proposed_by_id == user_id:
        raise Denied(
            "SECOND_PERSON_REQUIRED", "SECOND_PERSON_REQUIRED: another person must confirm."
        )
    closure.confirmed_by_id, closure.confirmed_at = user_id, timezone.now()
    closure.confirmed_reason = reason
    with audit.context(CONFIRMED, actor=actor, reason=reason):
        closure.save()
    closed = services.intent_move(
        locked,
        IntentEvent.PROVE_ABSENT,
        actor=actor,
        reason=f"Closed by hand: {closure.proposed_reason}; confirmed by {actor.name}: {reason}",
        severity=Severity.CRITICAL,
    )
    _tell(closed, CONFIRMED, actor, reason)
    return closed


def _person(actor: Actor, reason: str) -> int:
    if actor.user_id is None:
        raise Denied(
            "PERSON_REQUIRED",
            "PERSON_REQUIRED: an unknown order is closed by two people, in the admin or the API.",
        )
    if not reason.strip():
        raise Denied("REASON_REQUIRED", "REASON_REQUIRED: say why.")
    return actor.user_id


def _unknown(intent: OrderIntent) -> OrderIntent:
    locked = services.intent_locked(intent.pk)
    if services.place_of(locked) != LOST:
        raise Conflict(
            f"{locked.pk} is {locked.state}/{locked.submission}: its fate is known.",
            details={"state": locked.state, "submission": locked.submission},
        )
    return locked


def _tell(intent: OrderIntent, action: audit.Action, actor: Actor, reason: str) -> None:
    events.publish(
        Occurrence(
            type=EventType.ORDER,
            severity=Severity.CRITICAL,
            account_id=intent.account_id,
            module_id=intent.module_id,
            message=f"{intent}: {action.code} by {actor.name}: {reason}",
            payload={
                "action": action.code,
                "intentId": str(intent.pk),
                "actor": actor.name,
                "reason": reason,
            },
        )
    )
