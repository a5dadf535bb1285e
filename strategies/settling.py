"""How a send ended: recorded by what is proven, an answer that proves nothing as unknown."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from accounts.choices import AccountStatus
from accounts.jobs import session_doubt
from accounts.lifecycle import account_pause
from controlplane.base.attempts import attempted
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, ControlPlaneError, Denied, IllegalMove
from controlplane.kernel.events import Severity
from controlplane.kernel.secrets import redact
from markets.venue_watch import write_lost, write_taken
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRejected,
    Withheld,
)
from markets.venues.types import OrderReport
from strategies import sandbox, selectors, services
from strategies.domain.intent import LOST, SENDING, IntentEvent
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)

Answers = Sequence[OrderReport | BaseException]


def sends_settle(
    claimed: Sequence[OrderIntent],
    answers: Answers,
    *,
    actor: Actor,
) -> dict[UUID, OrderIntent]:
    """Record what came of each send: reports that are believed together, the rest one by one.

    An error that is none of ours goes on when all is recorded.
    """
    told = dict(zip(claimed, answers, strict=True))
    reports = {it.pk: answer for it, answer in told.items() if isinstance(answer, OrderReport)}
    ended, unbelieved = attempted(partial(_reports_apply, reports, actor=actor))
    for venue in {it.account.exchange for it in claimed if it.pk in ended and not it.sandbox}:
        write_taken(venue=venue)
    for intent, answer in told.items():
        error = unbelieved.get(intent.pk, answer)
        if isinstance(error, BaseException):
            ended[intent.pk] = _conclude(intent, error, actor=actor)
        if intent.sandbox:
            sandbox.book(ended[intent.pk])
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
    return ended


@transaction.atomic
def _reports_apply(
    reports: Mapping[UUID, OrderReport], *, actor: Actor
) -> tuple[dict[UUID, OrderIntent], dict[UUID, Conflict | IllegalMove]]:
    """Apply reports to their intents; return those, and why the others are not believed."""
    if not reports:
        return {}, {}
    moves, ended, unbelieved = [], {}, {}
    for pk, intent in services.intents_locked(reports.keys()).items():
        try:
            move = services.report_move(intent, reports[pk])
        except (Conflict, IllegalMove) as error:
            unbelieved[pk] = error
            continue
        ended[pk] = intent
        if move is not None:
            moves.append(move)
    services.intents_move(moves, actor=actor)
    return ended, unbelieved


def _conclude(intent: OrderIntent, error: BaseException, *, actor: Actor) -> OrderIntent:
    """Record what the error that ended a send proves."""
    match error:
        case RateLimited() | NotSent() | MissingCredential() | Denied():
            unsent = settle(intent, IntentEvent.PROVE_UNSENT, _reason(error), actor=actor)
            if isinstance(error, NotSent) and not isinstance(error, Withheld):
                session_doubt(unsent.proxy_session_id)
            return unsent
        case AuthenticationFailed():
            return _key_refused(intent, _reason(error), actor=actor)
        case VenueRejected():
            return settle(intent, IntentEvent.REJECT, _reason(error), actor=actor)
    lost = settle(intent, IntentEvent.LOSE, _reason(error), actor=actor)
    if body := _said(error):
        services.answer_quarantine(intent=lost, reason=_reason(error), body=body, actor=actor)
    if isinstance(error, OutcomeUnknown) and error.is_venues_failure:
        write_lost(venue_id=intent.account.exchange_id)
    if not isinstance(error, Exception):
        return lost
    session_doubt(lost.proxy_session_id)
    if not isinstance(error, OutcomeUnknown):
        logger.error("Sending intent %s broke; its outcome is unknown.", intent.pk, exc_info=error)
    return lost


@transaction.atomic
def _key_refused(intent: OrderIntent, reason: str, *, actor: Actor) -> OrderIntent:
    """Fail the intent and pause its account: no order of it can succeed until a person acts."""
    account = selectors.account_for_claim(intent.account_id)
    failed = settle(intent, IntentEvent.REJECT, reason, actor=actor, severity=Severity.CRITICAL)
    if account.status == AccountStatus.ACTIVE:
        account_pause(account=account, actor=actor, reason=reason)
    return failed


def settle(
    intent: OrderIntent,
    event: IntentEvent,
    reason: str,
    *,
    actor: Actor,
    severity: Severity | None = None,
) -> OrderIntent:
    """Move a sent intent by what the end of its send, or a look at its venue, proves.

    The private stream, or the sweep, may have moved it meanwhile: an order seen at the venue is
    stronger than any error, and a proof settles an unknown.
    """
    return attempted(partial(_settle, intent, event, reason, actor=actor, severity=severity))


@transaction.atomic
def _settle(
    intent: OrderIntent,
    event: IntentEvent,
    reason: str,
    *,
    actor: Actor,
    severity: Severity | None,
) -> OrderIntent:
    locked = services.intent_locked(intent.pk)
    place = services.place_of(locked)
    if place == LOST and event is IntentEvent.PROVE_UNSENT:
        event = IntentEvent.PROVE_ABSENT
    if place not in (SENDING, LOST) or (place == LOST and event is IntentEvent.LOSE):
        return locked
    return services.intent_move(locked, event, actor=actor, reason=reason, severity=severity)


def _said(error: BaseException) -> bytes:
    """Return what the venue answered that was not believed, if anything."""
    if isinstance(error, OutcomeUnknown):
        return error.body
    return error.message.encode() if isinstance(error, Conflict) else b""


def _reason(error: BaseException) -> str:
    text = error.message if isinstance(error, ControlPlaneError) else repr(error)
    match error:
        case RateLimited():
            text = f"rate-limited: {text}"
        case VenueRejected():
            text = f"{error.venue_code}: {text}"
        case VenueError():
            text = f"{error.code}: {text}"
    return redact(text)
