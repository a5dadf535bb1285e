"""A book is looked at, and hedged when it is out of its threshold."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from controlplane.base.audit import Actor
from controlplane.kernel.units import ZERO, plain
from hedging import selectors
from hedging.choices import HedgeResult, TriggerReason
from hedging.domain.books import Book
from hedging.domain.decision import Decision, Reason
from hedging.facts import BookFacts, book_facts
from hedging.models import HedgeExecution
from hedging.plans import CheckedPlan, plan_checked
from hedging.services import telling
from hedging.services.dust import dust_close, dust_note
from hedging.services.locking import book_lock
from hedging.services.throttling import pace_check
from hedging.services.writing import order_record, orders_write
from markets.selectors import failing_venues

FAILURES_REMEMBERED: Final = timedelta(minutes=10)
LONGEST_WAIT: Final = timedelta(seconds=60)
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
    busy, waits = _recent_hedges(book.key, now=now)
    decisions = [
        decision
        for decision in facts.decisions(now=now, retry_at=waits, by_hand=by_hand)
        if decision.is_trading and decision.exposure.symbol not in busy
    ]
    if not decisions or not (by_hand or pace_check(book, now=now)):
        return []
    decisions.sort(key=lambda decision: abs(decision.exposure.delta_btc or ZERO), reverse=True)
    started = (
        _start(facts, decision, trigger_reason, actor, reason, now=now) for decision in decisions
    )
    return [execution for execution in started if execution is not None]


def _recent_hedges(key: str, *, now: datetime) -> tuple[set[str], dict[str, datetime]]:
    """Return the assets being hedged, and when to try again those whose hedges failed in a row.

    The wait after the last failure grows: 1 s, 2 s, 4 s and so on.
    """
    rows = (
        HedgeExecution.objects.filter(book=key)
        .filter(Q(result=None) | Q(finished_at__gte=now - FAILURES_REMEMBERED))
        .order_by("symbol", "-execution_id")
        .values_list("symbol", "result", "finished_at")
    )
    busy: set[str] = set()
    waits: dict[str, datetime] = {}
    for symbol, hedges in groupby(rows, key=itemgetter(0)):
        results = [(result, finished_at) for _symbol, result, finished_at in hedges]
        if any(finished_at is None for _result, finished_at in results):
            busy.add(symbol)
        failed = list(takewhile(lambda item: item[0] == HedgeResult.FAIL, results))
        if failed and (last := failed[0][1]) is not None:
            wait = timedelta(seconds=2 ** min(len(failed) - 1, 6))
            waits[symbol] = last + min(LONGEST_WAIT, wait)
    return busy, waits


def _start(
    facts: BookFacts,
    decision: Decision,
    trigger_reason: TriggerReason,
    actor: Actor,
    reason: str,
    *,
    now: datetime,
) -> HedgeExecution | None:
    """Write the hedge, then its orders; None when no account can carry any of it."""
    symbol, delta = decision.exposure.symbol, decision.exposure.delta_btc
    assert delta is not None, "a trade is decided only on a known delta"
    checked = plan_checked(facts, decision, now=now)
    plan = checked.plan
    dust_note(facts.book.key, decision, plan, now=now)
    if not plan.orders:
        return None
    execution = HedgeExecution.objects.create(
        book=facts.book.key,
        symbol=symbol,
        primary_account_id=_primary(facts, decision),
        hedge_account_id=plan.orders[0].account_id,
        delta_before=delta,
        threshold=facts.book.delta_threshold,
        orders=[order_record(order) for order in plan.orders],
        decision_inputs=_inputs(facts, decision, checked, actor=actor, now=now),
        trigger_reason=_trigger(facts, symbol, trigger_reason),
        decision_mid=decision.exposure.reference,
        reason=reason,
    )
    orders_write(execution, checked.drafts, actor=actor)
    telling.breach_told(execution, decision)
    telling.begun_told(execution)
    return execution


def _trigger(facts: BookFacts, symbol: str, trigger_reason: TriggerReason) -> TriggerReason:
    """Return why a hedge is made: a breach while a venue's prices fail is hedged elsewhere."""
    venues = {account.venue_id for account in facts.accounts}
    if trigger_reason is TriggerReason.DELTA and failing_venues(venues, symbol):
        return TriggerReason.FAILOVER
    return trigger_reason


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
