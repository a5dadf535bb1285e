"""A book is looked at, and hedged when it is out of its threshold."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from controlplane.base.audit import Actor
from controlplane.kernel.units import ZERO, plain
from hedging import selectors
from hedging.choices import TriggerReason
from hedging.domain.books import Book
from hedging.domain.decision import Decision, Reason
from hedging.domain.making import HedgeStyle
from hedging.domain.throttle import busy, waits
from hedging.facts import BookFacts, book_facts
from hedging.models import HedgeExecution
from hedging.plans import CheckedPlan, plan_checked
from hedging.services import telling
from hedging.services.dust import dust_close, dust_note
from hedging.services.locking import book_lock
from hedging.services.making import style_for
from hedging.services.throttling import pace_check, past_hedges
from hedging.services.writing import order_record, orders_write, still_stands
from markets.choices import FeedStatus
from strategies.moment import Moment

FEW_BOOKS: Final = 2
"""So few are read under their locks at once; of many, most need no lock."""


def book_evaluate(
    *, key: str, trigger_reason: TriggerReason, actor: Actor, reason: str = ""
) -> HedgeExecution | None:
    """Look at a book now and hedge every asset that is out of its threshold.

    Returns the hedge of the largest delta, or None when nothing was to be done or could be done
    (`selectors.book` says why). Nothing is sent here: each order is a job of its own. Safe to
    call from anywhere at any time; evaluations of one book come one after the other.
    """
    book = selectors.find_book(key)
    if book is None:
        return None
    started = books_evaluate(
        books=[book], trigger_reason=trigger_reason, actor=actor, reason=reason
    )
    return started[0] if started else None


def books_evaluate(
    *, books: Sequence[Book], trigger_reason: TriggerReason, actor: Actor, reason: str = ""
) -> list[HedgeExecution]:
    """Look at some books, and hedge those out of their threshold."""
    if len(books) <= FEW_BOOKS:
        return [
            execution for book in books for execution in _hedge(book, trigger_reason, actor, reason)
        ]
    now = timezone.now()
    return facts_evaluate(
        book_facts(books, now=now),
        trigger_reason=trigger_reason,
        actor=actor,
        reason=reason,
        now=now,
    )


def facts_evaluate(
    looks: Sequence[BookFacts],
    *,
    trigger_reason: TriggerReason,
    actor: Actor,
    reason: str = "",
    now: datetime,
) -> list[HedgeExecution]:
    """Hedge the books that these looks find out of their threshold.

    Most looks find nothing, so they take no lock; a book found in breach is read again under its
    own.
    """
    started: list[HedgeExecution] = []
    by_hand = trigger_reason is TriggerReason.MANUAL
    calm: set[tuple[str, str]] = set()
    for facts in looks:
        decisions = facts.decisions(now=now, by_hand=by_hand)
        if any(decision.is_trading for decision in decisions):
            started += _hedge(facts.book, trigger_reason, actor, reason)
        calm |= {
            (facts.book.key, decision.exposure.symbol)
            for decision in decisions
            if decision.reason is Reason.WITHIN_THRESHOLD
        }
    dust_close(calm, now=now)
    return started


@transaction.atomic
def _hedge(
    book: Book, trigger_reason: TriggerReason, actor: Actor, reason: str
) -> list[HedgeExecution]:
    """Read the book alone, and start the hedges it needs, the largest delta first."""
    book_lock(book.key)
    now = timezone.now()
    (facts,) = book_facts([book], now=now)
    by_hand = trigger_reason is TriggerReason.MANUAL
    if not any(decision.is_trading for decision in facts.decisions(now=now, by_hand=by_hand)):
        return []
    past = past_hedges(book.key, now=now)
    being_hedged = busy(past)
    decisions = [
        decision
        for decision in facts.decisions(now=now, retry_at=waits(past, now), by_hand=by_hand)
        if decision.is_trading and decision.exposure.symbol not in being_hedged
    ]
    if not decisions or not (by_hand or pace_check(book, past, facts.throttles, now=now)):
        return []
    decisions.sort(key=lambda decision: abs(decision.exposure.delta_btc or ZERO), reverse=True)
    moment = Moment(now, facts.references)
    started = (
        _start(facts, decision, moment, trigger_reason, actor, reason) for decision in decisions
    )
    return [execution for execution in started if execution is not None]


def _start(
    facts: BookFacts,
    decision: Decision,
    moment: Moment,
    trigger_reason: TriggerReason,
    actor: Actor,
    reason: str,
) -> HedgeExecution | None:
    """Write the hedge, then its orders; None when no account can carry any of it."""
    symbol, delta = decision.exposure.symbol, decision.exposure.delta_btc
    assert delta is not None, "a trade is decided only on a known delta"
    trigger = _trigger(facts, symbol, trigger_reason, moment)
    style, seconds = style_for(facts, decision, trigger)
    is_resting = style is HedgeStyle.MAKER
    checked = plan_checked(facts, decision, moment, is_resting=is_resting)
    plan = checked.plan
    dust_note(facts.book.key, decision, plan, now=moment.now)
    if not plan.orders or not still_stands(facts, symbol, moment):
        return None
    execution = HedgeExecution.objects.create(
        book=facts.book.key,
        symbol=symbol,
        primary_account_id=_primary(facts, decision),
        hedge_account_id=plan.orders[0].account_id,
        delta_before=delta,
        threshold=facts.book.delta_threshold,
        orders=[order_record(order, is_resting=is_resting) for order in plan.orders],
        decision_inputs={
            **_inputs(facts, decision, checked, actor=actor, now=moment.now),
            "style": str(style),
            "makerSeconds": seconds,
        },
        trigger_reason=trigger,
        decision_mid=decision.exposure.reference,
        reason=reason,
    )
    orders_write(execution, checked.drafts, moment, actor=actor)
    telling.breach_told(execution, decision)
    return execution


def _trigger(
    facts: BookFacts, symbol: str, trigger_reason: TriggerReason, moment: Moment
) -> TriggerReason:
    """Return why a hedge is made: a breach while a venue's prices fail is hedged elsewhere."""
    if trigger_reason is not TriggerReason.DELTA:
        return trigger_reason
    markets = moment.markets({(account.venue_id, symbol) for account in facts.accounts})
    is_failing = any(it.status is FeedStatus.FAILING for it in markets.values())
    return TriggerReason.FAILOVER if is_failing else trigger_reason


def _primary(facts: BookFacts, decision: Decision) -> str:
    """Return the account that leans most towards the delta."""
    sign = 1 if decision.exposure.delta_base > 0 else -1
    leaning = dict.fromkeys(facts.book.account_ids, ZERO)
    for item in facts.positions:
        if item.symbol == decision.exposure.symbol:
            leaning[item.account_id] += sign * item.size
    return max(leaning, key=lambda name: leaning[name])


def _inputs(
    facts: BookFacts,
    decision: Decision,
    checked: CheckedPlan,
    *,
    actor: Actor,
    now: datetime,
) -> dict[str, Any]:
    """Return everything the decision was made from, so it can be judged later."""
    symbol = decision.exposure.symbol
    positions = [item for item in facts.positions if item.symbol == symbol]
    return {
        **decision.numbers(),
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "decidedAt": now.isoformat(),
        "actor": actor.name,
        "surface": actor.surface.value,
        "accountIds": list(facts.book.account_ids),
        "breachAt": max((item.observed_at for item in positions), default=now).isoformat(),
        "positions": [
            {
                "accountId": item.account_id,
                "size": plain(item.size),
                "ageMs": _milliseconds(now - item.observed_at),
            }
            for item in positions
        ],
        "inFlight": [
            {
                "intentId": str(item.intent_id),
                "side": item.flight.side.value,
                "open": plain(item.flight.open_base),
                "unknown": item.flight.unknown,
            }
            for item in facts.intents
            if item.flight.symbol == symbol
        ],
        "quotes": [
            {
                "accountId": item.account_id,
                "bid": plain(item.top.bid),
                "ask": plain(item.top.ask),
            }
            for item in checked.candidates
            if item.top is not None
        ],
        "skipped": [list(item) for item in checked.plan.skipped],
        "residual": plain(checked.plan.residual),
    }


def _milliseconds(span: timedelta) -> int:
    return int(span / timedelta(milliseconds=1))
