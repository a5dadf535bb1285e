"""Writes of order intents: every move goes along the table in `domain/intent.py`."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, NotRequired, Protocol, TypedDict, Unpack

from django.db import transaction
from django.utils import timezone

from accounts.domain.risk import OrderTerms
from accounts.models import ExchangeAccount
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied, IllegalMove
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.units import plain
from markets.models import Instrument
from markets.venues.errors import MOST_KEPT
from markets.venues.types import OrderReport, OrderType, Side
from strategies.domain import evidence
from strategies.domain.environment import environment_problem
from strategies.domain.evidence import OrderAsked
from strategies.domain.intent import (
    IntentEvent,
    IntentState,
    Place,
    Submission,
    advance,
)
from strategies.models import (
    AccountAllocation,
    OrderIntent,
    QuarantinedAnswer,
    StrategyModule,
)

REASON_LIMIT: Final = 2000


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


@transaction.atomic
def intent_write(intent: OrderIntent, *, actor: Actor) -> OrderIntent:
    """Write a draft and tell of it; nothing is sent.

    Raises Denied for a live order where the module or its allocation is bound to the sandbox.
    """
    if problem := sandbox_problem(
        module=intent.module, account=intent.account, sandbox=intent.sandbox
    ):
        raise problem
    intent.save(force_insert=True)
    _announce(intent, f"Order wished for: {intent}", actor=actor, event="create")
    return intent


def intent_create(*, actor: Actor, **wish: Unpack[OrderWish]) -> OrderIntent:
    """Write the wish for one order, of the terms of `intent_draft`; nothing is sent."""
    return intent_write(intent_draft(**wish), actor=actor)


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


@transaction.atomic
def order_report_apply(*, intent: OrderIntent, report: OrderReport, actor: Actor) -> OrderIntent:
    """Bring an intent in line with what its venue says of the order.

    A report seen before or older changes nothing; filled amounts never shrink. Raises Conflict,
    with nothing changed, when the report is about another order or contradicts itself, and
    IllegalMove when the venue has an order that we know was never sent.
    """
    locked = intent_locked(intent.pk)
    asked = order_asked(locked)
    if problem := evidence.report_problem(asked, report):
        raise Conflict(f"The venue's report is not about intent {locked.pk}: {problem}.")
    event = evidence.event_of(place_of(locked), asked, report)
    if event is None:
        return locked
    changes: dict[str, Any] = {"venue_order_id": report.venue_order_id}
    if locked.acknowledged_at is None:
        changes["acknowledged_at"] = timezone.now()
    if report.filled > locked.filled_amount:
        changes["filled_amount"] = report.filled
        changes["average_price"] = report.average_price or locked.average_price
    if place_of(locked) == advance(place_of(locked), event) and not _tells_news(locked, changes):
        return locked
    reason = f"venue status {report.status}" if report.status.is_final else ""
    return intent_move(locked, event, actor=actor, reason=reason, **changes)


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
        _announce(
            locked,
            f"FILLS_EXCEED_AMOUNT: filled={plain(total)}, amount={plain(locked.amount)}",
            actor=actor,
            event="overfill",
            severity=Severity.CRITICAL,
        )
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
        _write(locked, place_of(locked), changes)
    return locked


@transaction.atomic
def answer_quarantine(*, intent: OrderIntent, reason: str, body: bytes, actor: Actor) -> None:
    """Keep what a venue said of an order that was not believed, and tell a person.

    Masked: what looks like a credential, and every key of the account itself.
    """
    said = body[:MOST_KEPT].decode("utf-8", "replace").replace("\x00", "\ufffd")
    text = intent.account.masked(said)
    QuarantinedAnswer.objects.create(intent=intent, reason=reason[:REASON_LIMIT], body=text)
    _announce(
        intent,
        f"ANSWER_NOT_BELIEVED: {intent}: {reason}"[:REASON_LIMIT],
        actor=actor,
        event="answer-quarantined",
        severity=Severity.CRITICAL,
    )


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
            _announce(
                intent,
                error.message,
                actor=actor,
                event="report-refused",
                severity=Severity.CRITICAL,
            )


def intent_locked(intent_id: Any) -> OrderIntent:
    """Return the intent, its row locked until the transaction ends."""
    return (
        OrderIntent.objects.select_for_update(of=("self",))
        .select_related("instrument", "account", "module")
        .get(pk=intent_id)
    )


def intent_move(
    intent: OrderIntent,
    event: IntentEvent,
    *,
    actor: Actor,
    reason: str = "",
    severity: Severity | None = None,
    **changes: Any,
) -> OrderIntent:
    """Move a locked intent along the table and tell of it; raises IllegalMove off the table."""
    old = place_of(intent)
    new = advance(old, event)
    if reason:
        changes["reason"] = reason[:REASON_LIMIT]
    _write(intent, new, changes)
    text = f"{old.state}/{old.submission} → {new.state}/{new.submission}"
    _announce(
        intent,
        f"{intent}: {text}{': ' + reason if reason else ''}"[:REASON_LIMIT],
        actor=actor,
        event=str(event),
        severity=severity or _severity(new),
    )
    return intent


def place_of(intent: OrderIntent) -> Place:
    """Return where the intent stands in its table."""
    return Place(IntentState(intent.state), Submission(intent.submission))


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


def sandbox_problem(
    *, module: StrategyModule, account: ExchangeAccount, sandbox: bool
) -> Denied | None:
    """Return why an order of this environment may not be placed, or None."""
    allocation = AccountAllocation.objects.filter(module=module, account=account).first()
    return environment_problem(
        sandbox=sandbox,
        dry_run=module.dry_run_enabled,
        requires_sandbox=module.requires_sandbox,
        sandbox_mode=allocation is not None and allocation.sandbox_mode,
    )


def _write(intent: OrderIntent, place: Place, changes: dict[str, Any]) -> None:
    """Compare-and-set: the row must still stand where this object says it does."""
    values = {
        **changes,
        "state": str(place.state),
        "submission": str(place.submission),
        "updated_at": timezone.now(),
    }
    changed = OrderIntent.objects.filter(
        pk=intent.pk, state=intent.state, submission=intent.submission
    ).update(**values)
    if changed != 1:
        raise Conflict(f"Intent {intent.pk} is no longer {intent.state}/{intent.submission}.")
    for name, value in values.items():
        setattr(intent, name, value)


def _tells_news(intent: OrderIntent, changes: dict[str, Any]) -> bool:
    return any(getattr(intent, name) != value for name, value in changes.items())


def _severity(place: Place) -> Severity:
    troubled = place.state is IntentState.FAILED or place.submission is Submission.UNKNOWN
    return Severity.WARN if troubled else Severity.INFO


def _fees(rows: Iterable[FillRow], instrument: Instrument) -> Decimal:
    total = Decimal(0)
    for row in rows:
        if row.fee_asset == instrument.quote_asset:
            total += row.fee
        elif row.fee_asset == instrument.symbol:
            total += row.fee * row.price
    return total.quantize(Decimal("1e-18"))


def _announce(
    intent: OrderIntent,
    message: str,
    *,
    actor: Actor,
    event: str,
    severity: Severity = Severity.INFO,
) -> None:
    events.publish(
        Occurrence(
            type=EventType.ORDER,
            message=message,
            severity=severity,
            account_id=intent.account_id,
            module_id=intent.module_id,
            payload={
                "intentId": str(intent.pk),
                "clientOrderId": intent.client_order_id,
                "event": event,
                "state": str(intent.state),
                "submission": str(intent.submission),
                "symbol": intent.symbol,
                "side": str(intent.side),
                "amount": plain(intent.amount),
                "filledAmount": plain(intent.filled_amount),
                "sandbox": intent.sandbox,
                "reason": intent.reason,
                "actor": actor.name,
                "surface": str(actor.surface),
            },
        )
    )
