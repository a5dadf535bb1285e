"""The right to send an order: won once, in a transaction that asks the gate."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from controlplane.base.audit import Actor
from controlplane.base.clock import DatabaseClock
from controlplane.kernel.errors import ControlPlaneError, Denied
from markets.venues.registry import dialect_facts
from markets.venues.types import OrderType
from strategies import gate, selectors, services, workers
from strategies.domain.intent import DENIED, PENDING, SENDING, WITHDRAWN, IntentEvent
from strategies.models import OrderIntent
from strategies.moment import Moment
from strategies.services import Move

CLOCK_MARGIN: Final = timedelta(seconds=5)
"""How far our clock and a venue's may be apart, and the time to sign."""
CLAIM_WITHIN: Final = timedelta(seconds=15)
"""An order that takes at once is not sent on a decision older than this: what it was decided on has
moved. The other leg of a pair may wait for its first one longer."""

EVER_WITHIN: Final = timedelta(minutes=2)
"""No intent at all that waited for longer: a record that was set back brings back what was sent."""


TOO_OLD: Final = ("INTENT_TOO_OLD", "DECISION_TOO_OLD", "CLAIM_TOO_OLD")
"""What an order is denied for that nobody came to in time."""


def has_lapsed(intent: OrderIntent) -> bool:
    """Tell whether an order was never sent for no other reason than that nobody came to it.

    That says nothing against its venue or its terms, so what it was for is decided anew at once.
    """
    place = services.place_of(intent)
    return place == WITHDRAWN or (place == DENIED and intent.reason.startswith(TOO_OLD))


@transaction.atomic
def intents_claim(
    intents: Sequence[OrderIntent], *, actor: Actor, clock: DatabaseClock | None = None
) -> list[OrderIntent]:
    """Win the right to send each of these, and return those it was won of.

    What the gate refuses fails with it; what is not pending is left alone. Accounts' rows are
    locked first: claims of one account come one after the other, each sees what the others
    reserved, and a stop committed before is seen. The gate is asked, and the time signed, when
    everything is locked. What may add to a position is written before the next one is judged;
    what only reduces is held to no limit, goes first and is written together. How old an intent
    is, and until when its venue may take it, goes by the database's clock: whoever wrote it, and
    whoever asks later, may be on other hosts. It is read here, on `clock` where one is given.
    """
    accounts = selectors.accounts_for_claim({intent.account_id for intent in intents})
    locked = services.intents_locked([intent.pk for intent in intents])
    pending = [it for it in locked.values() if services.place_of(it) == PENDING]
    moment, now = Moment(timezone.now()), (clock or DatabaseClock()).read()
    moment.allocations_read(pending)
    for intent in pending:
        intent.account = accounts[intent.account_id]
    reducing = [_judged(intent, moment, now) for intent in pending if intent.reduce_only]
    services.intents_move(reducing, actor=actor)
    for intent in pending:
        if not intent.reduce_only:
            services.intents_move([_judged(intent, moment, now)], actor=actor)
    return [intent for intent in pending if services.place_of(intent) == SENDING]


def _judged(intent: OrderIntent, moment: Moment, now: datetime) -> Move:
    """Return the claim of a locked intent, or its denial; `now` is the database's."""
    problem: Denied | None = (
        _age_problem(intent, now)
        or gate.refusal(intent, moment)
        or gate.leg_problem(intent, moment)
    )
    if problem is not None:
        return Move(intent, IntentEvent.DENY, problem.message)
    return Move(
        intent,
        IntentEvent.CLAIM,
        changes={
            "claim_fence": intent.claim_fence + 1,
            "claimed_by": workers.worker_name(),
            "signed_at": now,
            "expires_at": _expires_at(intent, now),
            "proxy_session_id": intent.account.proxy_session_id,
        },
    )


def _age_problem(intent: OrderIntent, now: datetime) -> Denied | None:
    age = now - intent.created_at
    if age > EVER_WITHIN:
        return Denied("INTENT_TOO_OLD", f"INTENT_TOO_OLD: age={age}, maximum={EVER_WITHIN}")
    if intent.type != OrderType.IOC or intent.hedge_pair_intent_id or age <= CLAIM_WITHIN:
        return None
    text = f"DECISION_TOO_OLD: seconds={age.total_seconds():.1f}, maximum={CLAIM_WITHIN.seconds}"
    return Denied("DECISION_TOO_OLD", text)


def _expires_at(intent: OrderIntent, signed_at: datetime) -> datetime:
    window = dialect_facts(intent.account.exchange.dialect).receive_window
    return signed_at + window + CLOCK_MARGIN


@transaction.atomic
def intent_deny(intent: OrderIntent, error: ControlPlaneError, *, actor: Actor) -> OrderIntent:
    """Fail an intent that cannot be sent; one that was claimed meanwhile is left alone."""
    locked = services.intent_locked(intent.pk)
    if services.place_of(locked) != PENDING:
        return locked
    return services.intent_move(locked, IntentEvent.DENY, actor=actor, reason=error.message)


@transaction.atomic
def claims_recover(*, now: datetime, actor: Actor) -> list[OrderIntent]:
    """Call unknown every send whose worker is dead or whose time is over; nothing is sent again.

    `now` is the database's. Returns the intents that became unknown.
    """
    recovered = []
    for pk, owner, expires_at in OrderIntent.objects.sending().values_list(
        "pk", "claimed_by", "expires_at"
    ):
        expired = expires_at is None or now > expires_at
        if not expired and not workers.is_dead(owner):
            continue
        intent = services.intent_locked(pk)
        if services.place_of(intent) == SENDING:
            why = "the send's time is over" if expired else "its worker died"
            reason = f"no answer was recorded and {why}"
            recovered.append(
                services.intent_move(intent, IntentEvent.LOSE, actor=actor, reason=reason)
            )
    return recovered
