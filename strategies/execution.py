"""An order's way to its venue: claimed once, sent at most once, and then evidence decides."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from accounts import egress
from accounts.choices import AccountStatus
from accounts.jobs import session_doubt
from accounts.lifecycle import account_pause
from accounts.selectors import able_to_read
from controlplane.base.attempts import attempted
from controlplane.base.audit import Actor
from controlplane.base.clock import DatabaseClock
from controlplane.kernel.errors import Conflict, ControlPlaneError, Denied, IllegalMove
from controlplane.kernel.events import Severity
from controlplane.kernel.secrets import redact
from controlplane.kernel.units import BaseAmount, Price
from markets.bans import bans_hear
from markets.venue_watch import write_lost, write_taken
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    VenueError,
    VenueRejected,
    Withheld,
)
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit.saying import last_look
from markets.venues.types import OrderReport, OrderType, Side, SubmitOrder
from strategies import claims, sandbox, selectors, services
from strategies.domain.intent import DENIED, LOST, PENDING, RESTING, SENDING, IntentEvent
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)

Send = Callable[[], Awaitable[OrderReport]]
Answers = Sequence[OrderReport | BaseException]

LOOK_AGAIN: Final = 0.05
"""An order let out this many seconds after the last check for stops is checked again."""
SEND_WITHIN: Final = timedelta(seconds=3)
"""A claim older than this by the database's clock is not sent: its process was held up."""


def client_for(intent: OrderIntent, *, hear: bool = True) -> ExecutionClient:
    """Return the client of the intent's own environment: in-process or the account's venue.

    `hear` as in `egress.execution_client`.
    """
    if intent.sandbox:
        return sandbox.SandboxClient(intent.account)
    return egress.execution_client(intent.account, hear=hear)


def intent_submit(*, intent_id: UUID | str, actor: Actor) -> OrderIntent:
    """Send a pending intent, at most once ever, and bring it where the evidence says.

    Whoever finds it claimed already does nothing. Refusals of ours and of the venue end in the
    intent's state and reason, not in an exception.
    """
    (ended,) = _submit([selectors.intent_to_send(intent_id)], actor=actor)
    return ended


def intents_submit(*, intents: Sequence[OrderIntent], actor: Actor) -> list[OrderIntent]:
    """Send several intents side by side, each at most once ever, and settle each by evidence.

    All are claimed in one transaction, which is committed before the first byte, and settled in
    one. Whatever dies in between leaves them sending, which becomes unknown and is resolved.
    """
    return _submit(selectors.intents_to_send([intent.pk for intent in intents]), actor=actor)


def shares_submit(*, shares: Sequence[Sequence[OrderIntent]], actor: Actor) -> list[OrderIntent]:
    """Send shares of intents, each as `intents_submit` does: one is claimed while others travel.

    A share is settled when its own answers are there, none waits for a slower one; and what was
    sent is settled whatever goes wrong with another. Raises the first error when all are.
    """
    sent: dict[Future[Answers], _Sent] = {}
    ended: list[OrderIntent] = []
    errors: list[BaseException] = []
    try:
        for share in shares:
            one = _sent(selectors.intents_to_send([it.pk for it in share]), actor=actor)
            sent[one.answers] = one
    except BaseException as error:
        errors.append(error)
    for future in as_completed(sent):
        try:
            ended += _ended(sent[future], actor=actor)
        except BaseException as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return ended


def _submit(intents: Sequence[OrderIntent], *, actor: Actor) -> list[OrderIntent]:
    return _ended(_sent(intents, actor=actor), actor=actor)


@dataclass(frozen=True, slots=True)
class _Sent:
    """Intents of which the claimed ones are under way, and what will have come of those."""

    intents: Sequence[OrderIntent]
    denied: Mapping[UUID, OrderIntent]
    claimed: Sequence[OrderIntent]
    answers: "Future[Answers]"


def _sent(intents: Sequence[OrderIntent], *, actor: Actor) -> _Sent:
    """Claim what can be sent and let it go."""
    denied: dict[UUID, OrderIntent] = {}
    ready = []
    for intent in intents:
        if services.place_of(intent) != PENDING:
            continue
        try:
            client_for(intent, hear=False)
            ready.append(intent)
        except ControlPlaneError as error:
            denied[intent.pk] = claims.intent_deny(intent, error, actor=actor)
    claim = partial(claims.intents_claim, ready, actor=actor, clock=(clock := DatabaseClock()))
    claimed = attempted(claim) if ready else []
    return _Sent(intents, denied, claimed, _under_way(claimed, clock))


def _under_way(claimed: Sequence[OrderIntent], clock: DatabaseClock) -> "Future[Answers]":
    """Let go what is claimed, by now committed; what comes of each is there later.

    Each goes by its account as it was claimed: until then it may have been moved.
    """
    told: Future[Answers] = Future()
    try:
        if claimed:
            bans_hear()
            return egress.begin(_side_by_side([_sending(intent, clock) for intent in claimed]))
        told.set_result(())
    except BaseException as error:
        told.set_result([error] * len(claimed))
    return told


def _ended(sent: _Sent, *, actor: Actor) -> list[OrderIntent]:
    """Wait for what came of sent intents and record it; return all as they stand then."""
    ended = dict(sent.denied)
    if sent.claimed:
        try:
            answers = sent.answers.result()
        except BaseException as error:
            answers = [error] * len(sent.claimed)
        ended |= _settled(sent.claimed, answers, actor=actor)
    for intent in sent.intents:
        if intent.pk not in ended:
            intent.refresh_from_db()
    return [ended.get(intent.pk, intent) for intent in sent.intents]


async def _side_by_side(sends: Sequence[Send]) -> Answers:
    return await asyncio.gather(*(send() for send in sends), return_exceptions=True)


def _sending(intent: OrderIntent, clock: DatabaseClock) -> Send:
    """Return the send of a claimed intent; one that is refused raises when it is made."""
    try:
        client = client_for(intent, hear=False)
        return partial(_watched, client, _command(intent, client, clock.now()), intent)
    except Exception as error:
        return partial(_refused, error)


async def _refused(error: Exception) -> OrderReport:
    raise error


def _settled(
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


def unknown_resolve(*, intent: OrderIntent, actor: Actor) -> OrderIntent:
    """Ask the venue for an order whose fate we do not know and apply what it says.

    An order that was taken for not accepted may be asked for too, should the venue have traded.
    Not found, and any failed query, prove nothing: the intent stays as it is. Only in the
    sandbox, whose book is our own rows, does "not found" mean never placed.
    """
    place = services.place_of(intent)
    if place not in (LOST, RESTING) and not (place == DENIED and intent.claim_fence):
        return intent
    try:
        intent.account = able_to_read(intent.account)
        report = egress.run(
            client_for(intent).order(intent.instrument.venue_symbol, intent.client_order_id)
        )
        return services.order_report_apply(intent=intent, report=report, actor=actor)
    except OrderNotFound:
        if intent.sandbox:
            return settle(intent, IntentEvent.PROVE_ABSENT, "not in the sandbox", actor=actor)
    except ControlPlaneError as error:
        logger.warning("Intent %s stays unresolved: %s", intent.pk, redact(error.message))
    return intent


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


def _command(intent: OrderIntent, client: ExecutionClient, now: datetime) -> SubmitOrder:
    """Return the order as the venue is to have it; raises Denied when it may not leave now."""
    if isinstance(client, sandbox.SandboxClient) is not intent.sandbox:
        raise Denied(
            "ENVIRONMENT_MISMATCH",
            f"ENVIRONMENT_MISMATCH: sandbox={intent.sandbox}, client={type(client).__name__}",
        )
    if intent.signed_at is None or now - intent.signed_at > SEND_WITHIN:
        raise Denied("CLAIM_TOO_OLD", f"CLAIM_TOO_OLD: claimed={intent.signed_at}")
    if (stopped := selectors.stop_problem(intent)) is not None:
        raise stopped
    return SubmitOrder(
        venue_symbol=intent.instrument.venue_symbol,
        side=Side(intent.side),
        type=OrderType(intent.type),
        amount=BaseAmount(intent.amount),
        client_order_id=intent.client_order_id,
        price=None if intent.price is None else Price(intent.price),
        reduce_only=intent.reduce_only,
    )


async def _watched(
    client: ExecutionClient, command: SubmitOrder, intent: OrderIntent
) -> OrderReport:
    """Submit; should the order have to wait on its way out, ask for stops once more."""
    began = time.monotonic()

    async def look() -> None:
        if time.monotonic() - began >= LOOK_AGAIN:
            stopped = await asyncio.to_thread(_stopped_meanwhile, intent)
            if stopped is not None:
                raise Withheld(stopped.message)

    last_look.set(None if intent.reduce_only else look)
    return await client.submit(command)


def _stopped_meanwhile(intent: OrderIntent) -> Denied | None:
    """Ask for stops on a thread of its own; raises Withheld when nobody answers.

    Nothing has left yet, so what cannot be asked keeps the order here, and that is proven.
    """
    try:
        return selectors.stop_problem(intent)
    except Exception as error:
        raise Withheld(f"Stops cannot be asked for: {type(error).__name__}") from error
    finally:
        connection.close()  # the thread's own


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
