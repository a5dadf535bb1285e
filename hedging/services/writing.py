"""A hedge's orders as rows: written, linked to it and queued, in one transaction with it."""

import logging
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from controlplane.base import jobs
from controlplane.base.audit import Actor
from controlplane.kernel.units import plain
from hedging.domain.planning import PlannedOrder
from hedging.facts import BookFacts, book_facts
from hedging.models import HedgeExecution
from hedging.services.locking import HELD_UP
from markets.venues.types import OrderType
from strategies import services as strategies
from strategies.jobs import SubmitIntent
from strategies.models import OrderIntent
from strategies.moment import Moment

logger = logging.getLogger(__name__)


def still_stands(facts: BookFacts, symbol: str, moment: Moment) -> bool:
    """Tell whether what was decided at `moment` may be written now.

    A decision that took long is held against the fills, answers and positions that came meanwhile:
    when anything it rests on has changed, the book is to be decided anew.
    """
    now = timezone.now()
    if now - moment.now <= HELD_UP:
        return True
    (newer,) = book_facts([facts.book], now=now)
    if newer.standing(symbol) == facts.standing(symbol):
        return True
    logger.warning(
        "Book %s: a decision on %s took %.1f s and stands no more; it is made anew.",
        facts.book.key,
        symbol,
        (now - moment.now).total_seconds(),
    )
    return False


def orders_write(
    execution: HedgeExecution, drafts: Sequence[OrderIntent], moment: Moment, *, actor: Actor
) -> None:
    """Write a hedge's orders, judged at `moment`, and queue the sending of each."""
    for intent in drafts:
        intent.reason = f"hedge {execution.pk}"
    strategies.intents_write(drafts, actor=actor, moment=moment)
    jobs.enqueue_all(SubmitIntent, [{"intent_id": str(intent.pk)} for intent in drafts])
    link = HedgeExecution.intents.through
    link.objects.bulk_create(
        [link(hedgeexecution=execution, orderintent=intent) for intent in drafts]
    )


def order_record(order: PlannedOrder, *, is_resting: bool = False) -> dict[str, Any]:
    """Return a planned order as the hedge's own record keeps it."""
    passive = order.passive if is_resting else None
    return {
        "accountId": order.account_id,
        "instrumentId": str(order.instrument_id),
        "side": order.side.value,
        "type": (OrderType.IOC if passive is None else OrderType.POST_ONLY).value,
        "amount": plain(order.amount),
        "price": plain(order.price if passive is None else passive),
        "reduceOnly": order.reduce_only,
    }
