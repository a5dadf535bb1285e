"""Wishes for orders: drafted, written, paired, withdrawn. Nothing is sent here."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NotRequired, TypedDict, Unpack

from django.db import transaction
from django.utils import timezone

from accounts.models import ExchangeAccount
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.ids import client_order_id, uuid7
from markets.models import Instrument
from markets.venues.types import OrderType, Side
from strategies.domain.environment import environment_problem
from strategies.domain.intent import IntentEvent
from strategies.models import OrderIntent, StrategyModule
from strategies.moment import Moment
from strategies.services.moving import intent_locked, intent_move
from strategies.services.telling import occurrence_of


class OrderWish(TypedDict):
    """The terms of `intent_draft`."""

    module: StrategyModule
    account: ExchangeAccount
    instrument: Instrument
    side: Side
    type: OrderType
    amount: Decimal
    price: NotRequired[Decimal | None]
    reduce_only: NotRequired[bool]
    expected_profit_after_fee: NotRequired[Decimal | None]
    sandbox: bool
    reason: NotRequired[str]


def intent_draft(
    *,
    module: StrategyModule,
    account: ExchangeAccount,
    instrument: Instrument,
    side: Side,
    type: OrderType,
    amount: Decimal,
    price: Decimal | None = None,
    reduce_only: bool = False,
    expected_profit_after_fee: Decimal | None = None,
    sandbox: bool,
    reason: str = "",
) -> OrderIntent:
    """Return the wish for one order, not written yet.

    `amount` is base, `expected_profit_after_fee` USD. Raises Denied for an instrument of another
    venue.
    """
    if instrument.venue_id != account.exchange_id:
        raise Denied(
            "INSTRUMENT_OF_OTHER_VENUE",
            f"INSTRUMENT_OF_OTHER_VENUE: instrument={instrument}, account={account}",
        )
    intent_id = uuid7()
    return OrderIntent(
        intent_id=intent_id,
        client_order_id=client_order_id(intent_id),
        module=module,
        account=account,
        instrument=instrument,
        symbol=instrument.symbol,
        side=side,
        type=type,
        amount=amount,
        price=price,
        reduce_only=reduce_only,
        sandbox=sandbox,
        expected_profit_after_fee=expected_profit_after_fee,
        reason=reason,
    )


def intents_write(
    drafts: Sequence[OrderIntent], *, actor: Actor, moment: Moment | None = None
) -> Sequence[OrderIntent]:
    """Write drafts and tell of them, all or none; nothing is sent.

    `moment` is that of a decision in the same transaction. Raises Denied for a live order where
    the module or its allocation is bound to the sandbox.
    """
    moment = moment or Moment(timezone.now())
    moment.allocations_read(drafts)
    for draft in drafts:
        if problem := sandbox_problem(draft, moment):
            raise problem
    wished = [
        occurrence_of(draft, f"Order wished for: {draft}", actor=actor, event="create")
        for draft in drafts
    ]
    with transaction.atomic(savepoint=False):
        OrderIntent.objects.bulk_create(drafts)
        events.publish(*wished)
    return drafts


def intent_create(*, actor: Actor, **wish: Unpack[OrderWish]) -> OrderIntent:
    """Write the wish for one order, of the terms of `intent_draft`; nothing is sent."""
    (intent,) = intents_write([intent_draft(**wish)], actor=actor)
    return intent


@transaction.atomic
def intents_pair(a: OrderIntent, b: OrderIntent) -> None:
    """Make two intents each other's leg; raises Conflict when either has one already."""
    for one, other in ((a, b), (b, a)):
        changed = OrderIntent.objects.filter(pk=one.pk, hedge_pair_intent__isnull=True).update(
            hedge_pair_intent=other, updated_at=timezone.now()
        )
        if changed != 1:
            raise Conflict(f"Intent {one.pk} is one of a pair already.")
        one.hedge_pair_intent = other


@transaction.atomic
def intent_withdraw(*, intent: OrderIntent, reason: str, actor: Actor) -> OrderIntent:
    """Cancel an intent that was never sent; raises IllegalMove once a worker has claimed it."""
    locked = intent_locked(intent.pk)
    return intent_move(locked, IntentEvent.WITHDRAW, actor=actor, reason=reason)


def sandbox_problem(intent: OrderIntent, moment: Moment) -> Denied | None:
    """Return why an order of this environment may not be placed, or None."""
    return environment_problem(
        sandbox=intent.sandbox,
        dry_run=intent.module.dry_run_enabled,
        requires_sandbox=intent.module.requires_sandbox,
        sandbox_mode=moment.is_bound(intent),
    )
