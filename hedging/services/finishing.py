"""The end of a hedge: all its orders decided, and the positions known that they made."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from controlplane.base.prepared import prepared
from controlplane.kernel.units import ZERO
from hedging.choices import HedgeResult, TriggerReason
from hedging.domain.books import Book
from hedging.domain.delta import Exposure, btc_equivalent
from hedging.facts import BookFacts, book_facts
from hedging.models import Fill, HedgeExecution
from hedging.querysets import ExecutionQuerySet
from hedging.services import telling
from hedging.services.making import taker_follow
from hedging.services.throttling import LAPSED
from markets.venues.types import Side
from strategies.claims import has_lapsed
from strategies.domain.intent import TERMINAL_STATES
from strategies.models import OrderIntent

BASIS_POINTS: Final = Decimal(10_000)
_PLACES: Final = Decimal("1e-18")


def executions_finish(
    *, books: Collection[str] | None = None, account_id: str | None = None
) -> list[HedgeExecution]:
    """Finish every running hedge that can be: of some books, of an account's orders, or any."""
    if books is not None:
        decided = _decided_of_books(books=list(books))
    elif account_id is not None:
        decided = _decided_of_account(account_id=account_id)
    else:
        decided = list(_decided())
    return [done for item in decided if (done := execution_finish(execution=item)) is not None]


def _decided() -> ExecutionQuerySet:
    """Return the running hedges none of whose orders is in flight."""
    return HedgeExecution.objects.running().exclude(intents__in=OrderIntent.objects.in_flight())


@prepared
def _decided_of_books(books: Any) -> ExecutionQuerySet:
    return _decided().filter(book__any=books)


@prepared
def _decided_of_account(account_id: Any) -> ExecutionQuerySet:
    return _decided().filter(intents__account=account_id).distinct()


@transaction.atomic
def execution_finish(*, execution: HedgeExecution) -> HedgeExecution | None:
    """End a hedge from what really came of it; None while that is not known.

    It runs on while an order of it is open or its outcome is unknown, and until the positions
    are known to contain its fills; one that rested first then takes what was left.
    """
    locked = HedgeExecution.objects.select_for_update().running().filter(pk=execution.pk).first()
    if locked is None:
        return None
    intents = list(locked.intents.all())
    if any(intent.state not in TERMINAL_STATES for intent in intents):
        return None
    now = timezone.now()
    (facts,) = book_facts([_book_of(locked)], now=now)
    ids = {intent.pk for intent in intents}
    if any(item.intent_id in ids for item in facts.intents):
        return None
    seen = next((item for item in facts.exposures if item.symbol == locked.symbol), None)
    if seen is not None and seen.unknown:
        return None
    if taker_follow(locked, now=now):
        return None
    _close(locked, intents, facts, seen, now=now)
    return locked


def _book_of(execution: HedgeExecution) -> Book:
    """Return the accounts the hedge was decided for, whatever book they are in by now."""
    return Book(
        key=execution.book,
        sandbox=execution.book.startswith("sandbox:"),
        account_ids=tuple(execution.decision_inputs["accountIds"]),
        module_ids=(),
        delta_threshold=execution.threshold,
    )


def _close(
    execution: HedgeExecution,
    intents: Sequence[OrderIntent],
    facts: BookFacts,
    seen: Exposure | None,
    *,
    now: datetime,
) -> None:
    execution.delta_after = _delta_after(execution, seen)
    execution.result = _result(execution, intents)
    execution.finished_at = now
    execution.duration_ms = int((now - execution.created_at).total_seconds() * 1000)
    execution.slippage_bp = _slippage(execution, intents)
    execution.seconds_out_of_band = _seconds_out(execution, facts, now=now)
    if all(map(has_lapsed, intents)):
        execution.decision_inputs = {**execution.decision_inputs, LAPSED: True}
    execution.save()
    telling.finished_told(execution)


def _delta_after(execution: HedgeExecution, seen: Exposure | None) -> Decimal:
    if seen is None:
        return ZERO
    delta = seen.delta_btc
    if delta is None:
        # Prices went stale meanwhile: the delta is known in base, so use those of the decision.
        inputs = execution.decision_inputs
        delta = btc_equivalent(
            seen.delta_base,
            reference=Decimal(inputs["reference"]),
            btc_reference=Decimal(inputs["btcReference"] or inputs["reference"]),
            symbol=execution.symbol,
        )
    assert delta is not None
    return delta.quantize(_PLACES)


def _result(execution: HedgeExecution, intents: Sequence[OrderIntent]) -> HedgeResult:
    if not any(intent.filled_amount for intent in intents):
        return HedgeResult.FAIL
    assert execution.delta_after is not None
    is_back = abs(execution.delta_after) <= execution.threshold
    if execution.trigger_reason == TriggerReason.UTILIZATION:
        is_back = is_back and all(intent.filled_amount == intent.amount for intent in intents)
    return HedgeResult.SUCCESS if is_back else HedgeResult.PARTIAL


def _slippage(execution: HedgeExecution, intents: Sequence[OrderIntent]) -> Decimal | None:
    """Return how much worse than the decision's mid the fills were, in bp; positive is a cost."""
    fills = list(Fill.objects.filter(intent__in=intents))
    total = sum((fill.amount for fill in fills), ZERO)
    mid = execution.decision_mid
    if not total or mid is None:
        return None
    cost = sum((Side(fill.side).sign * fill.amount * (fill.price - mid) for fill in fills), ZERO)
    return (cost / total / mid * BASIS_POINTS).quantize(_PLACES)


def _seconds_out(execution: HedgeExecution, facts: BookFacts, *, now: datetime) -> Decimal | None:
    """Return from the position that broke the threshold to the one that was back inside."""
    if execution.result != HedgeResult.SUCCESS:
        return None
    since = datetime.fromisoformat(execution.decision_inputs["breachAt"])
    back = max(
        (item.observed_at for item in facts.positions if item.symbol == execution.symbol),
        default=now,
    )
    return Decimal(max(0, round((back - since).total_seconds() * 1000))) / 1000
