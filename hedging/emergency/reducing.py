"""Making a book smaller: one slice of both sides, by reduce-only orders, from what we know."""

from collections.abc import Sequence

from django.db import transaction

from accounts.choices import AccountStatus
from accounts.models import ExchangeAccount, Position
from controlplane.base import jobs
from controlplane.base.audit import Actor
from controlplane.kernel.units import BaseAmount, Price
from hedging.domain.flattening import Leg, plan_wave
from hedging.emergency.flattening import leg_of, orders_write
from hedging.selectors import find_book
from strategies.jobs import SubmitIntent
from strategies.models import SYSTEM_HEDGE, OrderIntent, StrategyModule


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
    mark = f"stop-loss {key}"
    going = OrderIntent.objects.live().in_flight().filter(account__in=accounts)
    if going.filter(reason__startswith=mark).exists():
        return []
    held = Position.objects.live().held().filter(account__in=accounts, mark_price__isnull=False)
    legs = [_leg(accounts[row.account_id], row) for row in held.select_related("instrument")]
    module = StrategyModule.objects.get(pk=SYSTEM_HEDGE)
    text = f"{mark}: {reason}"
    made = orders_write(plan_wave(legs), accounts, module=module, reason=text, actor=actor)
    for intent in made:
        jobs.enqueue(SubmitIntent, intent_id=str(intent.pk))
    return made


def _leg(account: ExchangeAccount, row: Position) -> Leg:
    assert row.mark_price is not None, "only positions with a mark are read"
    return leg_of(account, row.instrument, BaseAmount(row.size), Price(row.mark_price))
