"""Maker-first hedges: they rest on their own side for a moment, then what is left is taken.

Never two orders live at a time: what follows is decided from real exposure when the resting order
has ended at the venue, whatever its cancel was answered with.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from hedging import selectors
from hedging.choices import TriggerReason
from hedging.domain.decision import Decision
from hedging.domain.making import HedgeStyle, MakerTerms, maker_seconds, style_of
from hedging.facts import BookFacts, book_facts
from hedging.models import HedgeExecution
from hedging.plans import plan_checked
from hedging.services.locking import book_lock
from hedging.services.writing import order_record, orders_write, still_stands
from markets.venues.types import OrderType
from strategies.domain.intent import RESTING
from strategies.jobs import CancelIntent
from strategies.models import StrategyModule
from strategies.moment import Moment

ASKED_AGAIN: Final = timedelta(seconds=2)
"""An order that still rests this long after its cancel was asked for is asked about again."""


def style_for(
    facts: BookFacts, decision: Decision, trigger: TriggerReason
) -> tuple[HedgeStyle, int]:
    """Return how a hedge of this book begins, and for how many seconds it rests.

    A sandbox always takes. The module is asked only where the rest would let it rest.
    """
    within = Decimal(settings.HEDGE_MAKER_WITHIN)
    if facts.book.sandbox or style_of(decision, trigger, MakerTerms(1, within)) is HedgeStyle.TAKER:
        return HedgeStyle.TAKER, 0
    own = StrategyModule.objects.enabled().filter(pk__in=facts.book.module_ids, type="hedge-only")
    config = own.order_by("pk").values_list("config", flat=True).first()
    seconds = maker_seconds(config or {}, settings.HEDGE_MAKER_SECONDS)
    return style_of(decision, trigger, MakerTerms(seconds, within)), seconds


@dataclass(slots=True)
class MakerWatch:
    """Has resting hedge orders cancelled whose time is over, again while they rest."""

    _asked: dict[UUID, datetime] = field(default_factory=dict)

    def look(self, *, now: datetime) -> int:
        """Ask for the cancels that are due; return how many."""
        resting = dict(_resting_too_long(now))
        self._asked = {pk: at for pk, at in self._asked.items() if pk in resting}
        due = [pk for pk in resting if now - self._asked.get(pk, resting[pk]) >= ASKED_AGAIN]
        for intent_id in due:
            self._asked[intent_id] = now
            jobs.enqueue(CancelIntent, intent_id=str(intent_id))
        return len(due)


def _resting_too_long(now: datetime) -> list[tuple[UUID, datetime]]:
    """Return the orders past their hedge's time, each with a moment long enough ago to ask."""
    makers = HedgeExecution.objects.running().filter(
        decision_inputs__style=str(HedgeStyle.MAKER),
        intents__type=str(OrderType.POST_ONLY),
        intents__state=str(RESTING.state),
        intents__submission=str(RESTING.submission),
    )
    rows = makers.values_list("intents__pk", "created_at", "decision_inputs__makerSeconds")
    return [
        (intent_id, now - ASKED_AGAIN)
        for intent_id, began, seconds in rows
        if now - began >= timedelta(seconds=seconds)
    ]


def taker_follow(execution: HedgeExecution, *, now: datetime) -> bool:
    """Take what a hedge's resting orders have left; False when there is nothing to follow.

    Belongs in a transaction that holds the hedge's row, when all its orders have ended and the
    positions are known to contain their fills. The book is decided anew.
    """
    inputs: dict[str, Any] = execution.decision_inputs
    if inputs.get("style") != HedgeStyle.MAKER:
        return False
    book_lock(execution.book)
    book = selectors.find_book(execution.book)
    if book is None:
        return False
    (facts,) = book_facts([book], now=now)
    decision = next(
        (it for it in facts.decisions(now=now) if it.exposure.symbol == execution.symbol), None
    )
    if decision is None or not decision.is_trading:
        return False
    moment = Moment(now, facts.references)
    checked = plan_checked(facts, decision, moment)
    if not checked.plan.orders or not still_stands(facts, execution.symbol, moment):
        return False
    execution.orders = [*execution.orders, *map(order_record, checked.plan.orders)]
    execution.decision_inputs = {
        **inputs, "style": str(HedgeStyle.MAKER_THEN_TAKER), "followed": decision.numbers()
    }  # fmt: skip
    execution.save(update_fields=["orders", "decision_inputs"])
    actor = Actor(name=inputs["actor"], surface=Surface(inputs["surface"]))
    orders_write(execution, checked.drafts, moment, actor=actor)
    return True
