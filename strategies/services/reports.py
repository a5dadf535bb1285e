"""What venues say of orders, applied to intents."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Protocol

from django.db import transaction
from django.utils import timezone

from accounts.domain.risk import OrderTerms
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, IllegalMove
from controlplane.kernel.events import Severity
from controlplane.kernel.units import plain
from markets.models import Instrument
from markets.venues.errors import MOST_KEPT
from markets.venues.types import OrderReport, OrderType, Side
from strategies.domain import evidence
from strategies.domain.evidence import OrderAsked
from strategies.domain.intent import advance
from strategies.models import OrderIntent, QuarantinedAnswer
from strategies.services.moving import (
    REASON_LIMIT,
    Move,
    intent_locked,
    intent_move,
    intents_move,
    intents_set,
    place_of,
)
from strategies.services.telling import occurrence_of


class FillRow(Protocol):
    """One trade of an intent. `fee` is positive when paid."""

    @property
    def amount(self) -> Decimal: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def fee(self) -> Decimal: ...
    @property
    def fee_asset(self) -> str: ...


@transaction.atomic
def order_report_apply(*, intent: OrderIntent, report: OrderReport, actor: Actor) -> OrderIntent:
    """Bring an intent in line with what its venue says of the order.

    A report seen before or older changes nothing; filled amounts never shrink. Raises Conflict,
    with nothing changed, when the report is about another order or contradicts itself, and
    IllegalMove when the venue has an order that we know was never sent.
    """
    locked = intent_locked(intent.pk)
    if (move := report_move(locked, report)) is not None:
        intents_move([move], actor=actor)
    return locked


def report_move(locked: OrderIntent, report: OrderReport) -> Move | None:
    """Return the move a report leads a locked intent to, None when it says nothing new.

    Raises as `order_report_apply`.
    """
    asked, place = order_asked(locked), place_of(locked)
    if problem := evidence.report_problem(asked, report):
        raise Conflict(f"The venue's report is not about intent {locked.pk}: {problem}.")
    event = evidence.event_of(place, asked, report)
    if event is None:
        return None
    changes: dict[str, Any] = {"venue_order_id": report.venue_order_id}
    if locked.acknowledged_at is None:
        changes["acknowledged_at"] = timezone.now()
    if report.filled > locked.filled_amount:
        changes["filled_amount"] = report.filled
        changes["average_price"] = report.average_price or locked.average_price
    if place == advance(place, event) and not _tells_news(locked, changes):
        return None
    reason = f"venue status {report.status}" if report.status.is_final else ""
    return Move(locked, event, reason, changes=changes)


@transaction.atomic
def intent_fill_apply(
    *, intent: OrderIntent, fills: Iterable[FillRow], venue_order_id: str = "", actor: Actor
) -> OrderIntent:
    """Set filled amount, average price and fee from all the fills known of an intent.

    `fills` is the whole list, so applying it twice changes nothing. Fees in the quote or base
    asset are summed in the quote asset; others (such as a venue's token) are not converted and
    left out.
    """
    rows = list(fills)
    locked = intent_locked(intent.pk)
    total = sum((row.amount for row in rows), Decimal(0))
    if total > locked.amount:
        text = f"FILLS_EXCEED_AMOUNT: filled={plain(total)}, amount={plain(locked.amount)}"
        _alarm(locked, text, actor=actor, event="overfill")
    filled = min(total, locked.amount)
    changes: dict[str, Any] = {"fee": _fees(rows, locked.instrument)}
    if rows and filled >= locked.filled_amount:
        value = sum((row.amount * row.price for row in rows), Decimal(0))
        changes["average_price"] = (value / total).quantize(Decimal("1e-18"))
        changes["filled_amount"] = filled
    if venue_order_id and not locked.venue_order_id:
        changes["venue_order_id"] = venue_order_id
    event = evidence.fill_event(order_asked(locked), filled)
    if event is not None:
        if locked.acknowledged_at is None:
            changes["acknowledged_at"] = timezone.now()
        return intent_move(locked, event, actor=actor, **changes)
    if _tells_news(locked, changes):
        intents_set([(locked, place_of(locked), changes)])
    return locked


@transaction.atomic
def answer_quarantine(*, intent: OrderIntent, reason: str, body: bytes, actor: Actor) -> None:
    """Keep what a venue said of an order that was not believed, and tell a person.

    Masked: what looks like a credential, and every key of the account itself.
    """
    said = body[:MOST_KEPT].decode("utf-8", "replace").replace("\x00", "\ufffd")
    text = intent.account.masked(said)
    QuarantinedAnswer.objects.create(intent=intent, reason=reason[:REASON_LIMIT], body=text)
    text = f"ANSWER_NOT_BELIEVED: {intent}: {reason}"[:REASON_LIMIT]
    _alarm(intent, text, actor=actor, event="answer-quarantined")


def orders_record(*, account_id: str, reports: Iterable[OrderReport], actor: Actor) -> None:
    """Apply every report that is about an intent of ours; one we cannot believe is an event."""
    by_client_id = {report.client_order_id: report for report in reports}
    intents = OrderIntent.objects.live().filter(
        account_id=account_id, client_order_id__in=list(by_client_id)
    )
    for intent in intents:
        try:
            order_report_apply(
                intent=intent, report=by_client_id[intent.client_order_id], actor=actor
            )
        except (Conflict, IllegalMove) as error:
            _alarm(intent, error.message, actor=actor, event="report-refused")


def order_asked(intent: OrderIntent) -> OrderAsked:
    """Return the intent as the value the evidence rules work on."""
    return OrderAsked(
        client_order_id=intent.client_order_id,
        venue_symbol=intent.instrument.venue_symbol,
        side=Side(intent.side),
        amount=intent.amount,
        filled=intent.filled_amount,
    )


def order_terms(intent: OrderIntent) -> OrderTerms:
    """Return the order wished for, as the value the gate and the sandbox work on."""
    return OrderTerms(
        side=Side(intent.side),
        type=OrderType(intent.type),
        amount=intent.amount,
        price=intent.price,
        reduce_only=intent.reduce_only,
    )


def _tells_news(intent: OrderIntent, changes: dict[str, Any]) -> bool:
    return any(getattr(intent, name) != value for name, value in changes.items())


def _fees(rows: Iterable[FillRow], instrument: Instrument) -> Decimal:
    total = Decimal(0)
    for row in rows:
        if row.fee_asset == instrument.quote_asset:
            total += row.fee
        elif row.fee_asset == instrument.symbol:
            total += row.fee * row.price
    return total.quantize(Decimal("1e-18"))


def _alarm(intent: OrderIntent, text: str, *, actor: Actor, event: str) -> None:
    events.publish(
        occurrence_of(intent, text, actor=actor, event=event, severity=Severity.CRITICAL)
    )
