"""Making a book smaller: one slice of both sides, by reduce-only orders, from what we know."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import transaction

from accounts.choices import AccountStatus
from accounts.models import ExchangeAccount, Position
from controlplane.base import jobs
from controlplane.base.audit import Actor
from controlplane.kernel.ids import uuid7_floor
from controlplane.kernel.units import BaseAmount, Price
from hedging.domain.flattening import Leg, plan_wave
from hedging.emergency.flattening import leg_of, orders_write
from hedging.selectors import find_book
from strategies.domain.intent import DENIED, WITHDRAWN
from strategies.jobs import SubmitIntent
from strategies.models import SYSTEM_HEDGE, OrderIntent, StrategyModule
from strategies.services import place_of

MARK: Final = "stop-loss "
"""What the reason of such an order begins with."""


@transaction.atomic
def book_reduce(*, key: str, actor: Actor, reason: str) -> Sequence[OrderIntent]:
    """Close a third of both sides of a live book and return the orders, which are queued.

    Nothing is done for a book that has gone, or with an order of such a reduction still on its way.
    """
    book = find_book(key)
    if book is None:
        return []
    accounts = {
        account.pk: account
        for account in ExchangeAccount.objects.filter(pk__in=book.account_ids)
        .exclude(status=AccountStatus.EMERGENCY)
        .select_related("risk_envelope")
        .locked()
    }
    mark = f"{MARK}{key}: "
    going = OrderIntent.objects.live().in_flight().filter(account__in=accounts)
    if going.filter(reason__startswith=mark).exists():
        return []
    held = Position.objects.live().held().filter(account__in=accounts, mark_price__isnull=False)
    legs = [_leg(accounts[row.account_id], row) for row in held.select_related("instrument")]
    module = StrategyModule.objects.get(pk=SYSTEM_HEDGE)
    text = f"{mark}{reason}"
    made = orders_write(plan_wave(legs), accounts, module=module, reason=text, actor=actor)
    for intent in made:
        jobs.enqueue(SubmitIntent, intent_id=str(intent.pk))
    return made


def _leg(account: ExchangeAccount, row: Position) -> Leg:
    assert row.mark_price is not None, "only positions with a mark are read"
    return leg_of(account, row.instrument, BaseAmount(row.size), Price(row.mark_price))


def is_undone(*, key: str, since: datetime) -> bool:
    """Tell whether such orders of a book were written since then, and none of them was sent.

    Their reasons are replaced by why they were not, so it goes by what they were given: ids in
    order of time, and the built-in module. Where one was sent, the book's delta tells the rest.
    """
    book = find_book(key)
    if book is None:
        return False
    orders = OrderIntent.objects.live().filter(
        account__in=book.account_ids,
        module=SYSTEM_HEDGE,
        reduce_only=True,
        hedge_executions=None,
        pk__gte=uuid7_floor(since),
    )
    places = {place_of(order) for order in orders}
    return bool(places) and places <= {WITHDRAWN, DENIED}
