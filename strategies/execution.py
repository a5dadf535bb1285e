"""An order's way to its venue: claimed once, sent at most once, and then evidence decides."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts import egress
from accounts.choices import AccountStatus
from accounts.domain import risk
from accounts.jobs import session_doubt
from accounts.lifecycle import account_pause
from accounts.selectors import able_to_read
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, ControlPlaneError, Denied
from controlplane.kernel.events import Severity
from controlplane.kernel.secrets import redact
from controlplane.kernel.units import BaseAmount, Price
from markets import selectors as markets
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
from markets.venues.registry import dialect_facts
from markets.venues.types import OrderReport, OrderType, Side, SubmitOrder
from strategies import freshness, sandbox, selectors, services, workers
from strategies.domain.intent import DENIED, LOST, PENDING, RESTING, SENDING, IntentEvent
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)

CLOCK_MARGIN: Final = timedelta(seconds=5)
"""How far our clock and a venue's may be apart, and the time to sign."""
LOOK_AGAIN: Final = 0.05
"""An order let out this many seconds after the last check for stops is checked again."""
SEND_WITHIN: Final = timedelta(seconds=3)
"""A claim older than this is not sent any more: its process was held up."""


def client_for(intent: OrderIntent) -> ExecutionClient:
    """Return the client of the intent's own environment: in-process or the account's venue."""
    if intent.sandbox:
        return sandbox.SandboxClient(intent.account)
    return egress.execution_client(intent.account)


def intent_submit(*, intent_id: UUID | str, actor: Actor) -> OrderIntent:
    """Send a pending intent, at most once ever, and bring it where the evidence says.

    Whoever finds it claimed already does nothing. Refusals of ours and of the venue end in the
    intent's state and reason, not in an exception.
    """
    intent = selectors.intent_to_send(intent_id)
    if services.place_of(intent) != PENDING:
        return intent
    try:
        client_for(intent)
    except ControlPlaneError as error:
        return _deny(intent, error, actor=actor)
    if not _claim(intent, now=timezone.now(), actor=actor):
        intent.refresh_from_db()
        return intent
    sent = _send(intent, actor=actor)
    if sent.sandbox:
        sandbox.book(sent)
    return sent


def intents_submit(*, intents: Sequence[OrderIntent], actor: Actor) -> list[OrderIntent]:
    """Send several live intents side by side, each at most once ever, and settle each by evidence.

    All are claimed in one transaction, which is committed before the first byte, and settled in
    one. Whatever dies in between leaves them sending, which becomes unknown and is resolved.
    """
    ready = selectors.intents_to_send([intent.pk for intent in intents])
    with transaction.atomic():
        claimed = [it for it in ready if _claim(it, now=timezone.now(), actor=actor)]
    answers = egress.run(_side_by_side([_sending(intent) for intent in claimed]))
    with transaction.atomic():
        ended = {
            intent.pk: _settled(intent, answer, actor=actor)
            for intent, answer in zip(claimed, answers, strict=True)
        }
    for intent in ready:
        if intent.pk not in ended:
            intent.refresh_from_db()
    return [ended.get(intent.pk, intent) for intent in ready]


async def _side_by_side(
    sends: Sequence[Awaitable[OrderReport]],
) -> Sequence[OrderReport | BaseException]:
    return await asyncio.gather(*sends, return_exceptions=True)


def _sending(intent: OrderIntent) -> Awaitable[OrderReport]:
    """Return the send of a claimed intent, to be awaited; one that is refused raises then."""
    try:
        client = client_for(intent)
        return _watched(client, _command(intent, client), intent)
    except ControlPlaneError as error:
        return _refused(error)


async def _refused(error: ControlPlaneError) -> OrderReport:
    raise error


def _settled(
    intent: OrderIntent, answer: OrderReport | BaseException, *, actor: Actor
) -> OrderIntent:
    try:
        if isinstance(answer, BaseException):
            raise answer
        return services.order_report_apply(intent=intent, report=answer, actor=actor)
    except BaseException as error:
        return _conclude(intent, error, actor=actor)


@transaction.atomic
def claims_recover(*, now: datetime, actor: Actor) -> list[OrderIntent]:
    """Call unknown every send whose worker is dead or whose time is over; nothing is sent again.

    Returns the intents that became unknown.
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


def refusal(
    intent: OrderIntent, *, now: datetime, beside: Sequence[OrderIntent] = (), lock: bool = True
) -> Denied | None:
    """Return why the intent may not be sent right now, or None.

    Orders `beside` it count as if they were sent. `lock` has the limits' rows locked until the
    transaction ends, as a claim needs them.
    """
    return (
        services.sandbox_problem(
            module=intent.module, account=intent.account, sandbox=intent.sandbox
        )
        or selectors.pair_problem(intent)
        or risk.denial(
            services.order_terms(intent),
            markets.instrument_spec(intent.instrument),
            selectors.holding(intent, now=now, beside=beside),
            selectors.circumstances(intent, now=now, beside=beside, lock=lock),
        )
        or freshness.market_problem(intent, now=now)
    )


def preview(
    drafts: Sequence[OrderIntent], *, now: datetime
) -> list[tuple[OrderIntent, Denied | None]]:
    """Hold orders that belong together to the gate of a claim, before any of them is written.

    Each counts what stands before it as sent, so that together they keep every limit. Takes no
    lock and reserves nothing: the claim of each asks again.
    """
    return [
        (draft, refusal(draft, now=now, beside=drafts[:index], lock=False))
        for index, draft in enumerate(drafts)
    ]


def _leg_problem(intent: OrderIntent, *, now: datetime) -> Denied | None:
    """Return why the intent's other leg, not sent yet, would be denied after it; or None.

    The first of a pair is sent only when the second could be, beside it.
    """
    if intent.reduce_only or intent.hedge_pair_intent_id is None:
        return None
    other = selectors.intent_to_send(intent.hedge_pair_intent_id)
    if services.place_of(other) != PENDING:
        return None
    denied = refusal(other, now=now, beside=(intent,), lock=False)
    if denied is None:
        return None
    text = f"OTHER_LEG_NOT_SENDABLE: {denied.message}"
    return Denied("OTHER_LEG_NOT_SENDABLE", text, leg=other.pk)


@transaction.atomic
def _deny(intent: OrderIntent, error: ControlPlaneError, *, actor: Actor) -> OrderIntent:
    locked = services.intent_locked(intent.pk)
    if services.place_of(locked) != PENDING:
        return locked
    return services.intent_move(locked, IntentEvent.DENY, actor=actor, reason=error.message)


@transaction.atomic
def _claim(intent: OrderIntent, *, now: datetime, actor: Actor) -> bool:
    """Win the right to send, or return False; when the gate refuses, the intent fails with it.

    The account's row is locked first: claims of one account come one after the other, each
    sees what the others reserved, and a stop committed before is seen.
    """
    account = selectors.account_for_claim(intent.account_id)
    locked = services.intent_locked(intent.pk)
    if services.place_of(locked) != PENDING:
        return False
    locked.account = intent.account = account
    problem = refusal(locked, now=now) or _leg_problem(locked, now=now)
    if problem is not None:
        services.intent_move(locked, IntentEvent.DENY, actor=actor, reason=problem.message)
        return False
    claimed = services.intent_move(
        locked,
        IntentEvent.CLAIM,
        actor=actor,
        claim_fence=locked.claim_fence + 1,
        claimed_by=workers.worker_name(),
        signed_at=now,
        expires_at=now + dialect_facts(account.exchange.dialect).receive_window + CLOCK_MARGIN,
        proxy_session_id=account.proxy_session_id,
    )
    intent.signed_at = claimed.signed_at
    return True


def _send(intent: OrderIntent, *, actor: Actor) -> OrderIntent:
    """Send a claimed intent and record the evidence; the claim is committed by now.

    The client is that of the account as it was claimed: until then it may have been moved.
    """
    try:
        report = _answer(intent, client_for(intent))
        return services.order_report_apply(intent=intent, report=report, actor=actor)
    except BaseException as error:
        return _conclude(intent, error, actor=actor)


def _conclude(intent: OrderIntent, error: BaseException, *, actor: Actor) -> OrderIntent:
    """Record what the error that ended a send proves; one that is none of ours goes on."""
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
    if not isinstance(error, Exception):
        raise error
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


def _answer(intent: OrderIntent, client: ExecutionClient) -> OrderReport:
    return egress.run(_watched(client, _command(intent, client), intent))


def _command(intent: OrderIntent, client: ExecutionClient) -> SubmitOrder:
    """Return the order as the venue is to have it; raises Denied when it may not leave now."""
    if isinstance(client, sandbox.SandboxClient) is not intent.sandbox:
        raise Denied(
            "ENVIRONMENT_MISMATCH",
            f"ENVIRONMENT_MISMATCH: sandbox={intent.sandbox}, client={type(client).__name__}",
        )
    if intent.signed_at is None or timezone.now() - intent.signed_at > SEND_WITHIN:
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


@transaction.atomic
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
