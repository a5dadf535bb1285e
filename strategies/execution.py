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

from django.db import connection

from accounts import egress
from accounts.selectors import able_to_read
from controlplane.base.attempts import attempted
from controlplane.base.audit import Actor
from controlplane.base.clock import DatabaseClock
from controlplane.kernel.errors import ControlPlaneError, Denied
from controlplane.kernel.secrets import redact
from controlplane.kernel.units import BaseAmount, Price
from markets.bans import bans_hear
from markets.venues.errors import (
    OrderNotFound,
    Withheld,
)
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit.saying import last_look
from markets.venues.types import OrderReport, OrderType, Side, SubmitOrder
from strategies import claims, sandbox, selectors, services, settling
from strategies.domain.intent import DENIED, LOST, PENDING, RESTING, IntentEvent
from strategies.models import OrderIntent
from strategies.settling import Answers

logger = logging.getLogger(__name__)

Send = Callable[[], Awaitable[OrderReport]]
Answered = Callable[[Sequence[OrderIntent]], None]
"""Called with orders that have all been answered, before what came of them is recorded."""

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


def shares_submit(
    *,
    shares: Sequence[Sequence[OrderIntent]],
    actor: Actor,
    answered: Answered,
) -> list[OrderIntent]:
    """Send shares of intents, each as `intents_submit` does: one is claimed while others travel.

    They are given with what their sending needs, as `selectors.intents_to_send` reads them: each
    is read anew when it is claimed. A share is settled when its own answers are there, none waits
    for a slower one, and `answered` is called with it before; what was sent is settled whatever
    goes wrong with another. Raises the first error when all are.
    """
    sent: dict[Future[Answers], _Sent] = {}
    ended: list[OrderIntent] = []
    errors: list[BaseException] = []
    try:
        for share in shares:
            one = _sent(share, actor=actor)
            sent[one.answers] = one
    except BaseException as error:
        errors.append(error)
    for future in as_completed(sent):
        try:
            answered(sent[future].intents)
        except BaseException as error:
            errors.append(error)
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
        ended |= settling.sends_settle(sent.claimed, answers, actor=actor)
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
            return settling.settle(
                intent, IntentEvent.PROVE_ABSENT, "not in the sandbox", actor=actor
            )
    except ControlPlaneError as error:
        logger.warning("Intent %s stays unresolved: %s", intent.pk, redact(error.message))
    return intent


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
