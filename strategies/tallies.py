"""Reads of what counts against an order's limits: everything held and on its way in a scope."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from django.db.models import Case, F, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Abs, Coalesce, Greatest

from accounts.domain.risk import AccountStanding, LimitScope, ScopeLimits, ScopeSums, Tally
from accounts.models import Position
from accounts.peaks import day_peak
from controlplane.base.prepared import Prepared, prepared
from controlplane.kernel.ids import uuid7_floor
from controlplane.kernel.units import ZERO
from strategies.models import AccountAllocation, OrderIntent, RiskLimit
from strategies.moment import Moment

MINUTE: Final = timedelta(minutes=1)
TWIN_WINDOW: Final = timedelta(seconds=1)
"""An order of the same terms sent so shortly before is taken for a slip."""
SETTLING: Final = timedelta(minutes=10)
"""How long after it was wished for an order's fill may be missing in the position we know."""
_NEVER: Final = Value(datetime(1970, 1, 1, tzinfo=UTC))


def tallies(
    intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = (), lock: bool = True
) -> tuple[Tally, ...]:
    """Return each limit the order falls under beside what counts against it.

    The limits' rows are locked until the transaction ends, so that orders of many accounts under
    one limit are counted one after the other. Orders `beside` it count as if they were sent.
    """
    over = _limits_locked if lock else _limits
    rows = over(
        venue_id=intent.account.exchange_id,
        account_id=intent.account_id,
        module_id=intent.module_id,
        instrument_id=intent.instrument_id,
    )
    return tuple(
        Tally(
            limits,
            scope_sums(limits, intent, moment, beside=beside),
            _orders(limits, intent, beside=beside),
        )
        for limits in (row.limits() for row in rows)
    )


@prepared
def _limits(venue_id: Any, account_id: Any, module_id: Any, instrument_id: Any) -> Any:
    over = RiskLimit.objects.over(
        venue_id=venue_id, account_id=account_id, module_id=module_id, instrument_id=instrument_id
    )
    return over.order_by("pk")


@prepared
def _limits_locked(venue_id: Any, account_id: Any, module_id: Any, instrument_id: Any) -> Any:
    over = RiskLimit.objects.over(
        venue_id=venue_id, account_id=account_id, module_id=module_id, instrument_id=instrument_id
    )
    return over.locked()


def account_standing(
    intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = ()
) -> AccountStanding | None:
    """Return how the order's account stands; None for a simulated one of unknown equity."""
    look = moment.look(intent.account_id)
    equity, at = look.equity, look.balance_at or moment.now
    if equity is None and intent.sandbox:
        return None
    own = ScopeLimits(LimitScope.ACCOUNT, intent.account_id)
    return AccountStanding(
        equity=equity,
        peak=None
        if equity is None
        else day_peak(intent.account_id, equity=equity, at=at, now=moment.now),
        sums=scope_sums(own, intent, moment, beside=beside),
    )


def twin(intent: OrderIntent) -> str:
    """Return the id of an order of the same terms sent a moment ago, blank when there is none.

    One that ended without a fill is none: trying again is a new intent.
    """
    found = _twins(
        window=TWIN_WINDOW,
        account_id=intent.account_id,
        instrument_id=intent.instrument_id,
        module_id=intent.module_id,
        side=str(intent.side),
        type=str(intent.type),
        amount=intent.amount,
        sandbox=intent.sandbox,
        intent_id=intent.pk,
    )
    return next((str(pk) for pk, price in found if price == intent.price), "")


@prepared
def _twins(
    window: Any,
    account_id: Any,
    instrument_id: Any,
    module_id: Any,
    side: Any,
    type: Any,
    amount: Any,
    sandbox: Any,
    intent_id: Any,
) -> Any:
    """Orders of the same terms but for the price, which may be none."""
    same = OrderIntent.objects.sent_within(window).filter(
        Q(state="submitted") | Q(filled_amount__gt=0),
        account=account_id,
        instrument=instrument_id,
        module=module_id,
        side=side,
        type=type,
        amount=amount,
        reduce_only=False,
        sandbox=sandbox,
    )
    return same.exclude(pk=intent_id).order_by("pk").values_list("pk", "price")


def scope_sums(
    limits: ScopeLimits, intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = ()
) -> ScopeSums:
    """Return what the scope holds and has on its way beside `intent`, in USD.

    A symbol without a reference price is worth what its venues mark it at; one without either
    leaves the sums unknown.
    """
    held_in, sent_in = _SUMS[limits.scope]
    target = _members(limits)
    rows = held_in(target=target, sandbox=intent.sandbox)
    held = {row["instrument__symbol"]: row for row in rows}
    sent: dict[str, dict[str, Decimal]] = defaultdict(dict)
    recent = uuid7_floor(moment.now - SETTLING)
    for row in sent_in(target=target, sandbox=intent.sandbox, recent=recent, intent_id=intent.pk):
        if row["base"]:
            sent[row["symbol"]][row["side"]] = row["base"]
    for other in beside:
        if not other.reduce_only and _counts(limits, other):
            sides = sent[other.symbol]
            sides[str(other.side)] = sides.get(str(other.side), ZERO) + other.amount
    return _priced(held, sent, moment.references({*held, *sent}))


def _priced(
    held: Mapping[str, Mapping[str, Any]],
    sent: Mapping[str, Mapping[str, Decimal]],
    references: Mapping[str, Decimal],
) -> ScopeSums:
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for symbol in sorted({*held, *sent}):
        row = held.get(symbol, {})
        price = references.get(symbol)
        if price is None and row.get("marked"):
            price = row["worth"] / row["marked"]
        if price is None:
            return ScopeSums(unpriced=symbol)
        for side in ("long", "short"):
            sums[side] += row.get(side, ZERO) * price
        for side, amount in sent.get(symbol, {}).items():
            sums[side] += amount * price
    return ScopeSums(sums["long"], sums["short"], sums["buy"], sums["sell"])


def _held(scope: LimitScope, target: Any, sandbox: Any) -> Any:
    """What is held in a scope, by symbol."""
    held = Position.objects.filter(_where(scope, target), sandbox=sandbox).exclude(size=0)
    return held.values("instrument__symbol").annotate(
        long=Coalesce(Sum("size", filter=Q(size__gt=0)), ZERO),
        short=Coalesce(Sum(-F("size"), filter=Q(size__lt=0)), ZERO),
        worth=Sum(Abs("size") * F("mark_price"), filter=Q(mark_price__isnull=False)),
        marked=Sum(Abs("size"), filter=Q(mark_price__isnull=False)),
    )


def _on_their_way(scope: LimitScope, target: Any, sandbox: Any, recent: Any, intent_id: Any) -> Any:
    """The base still to come of sent orders that may add to a position, by symbol and side.

    What filled after the position was last read is still to come too: the position lacks it.
    """
    position = Position.objects.filter(
        account=OuterRef("account"), instrument=OuterRef("instrument"), sandbox=OuterRef("sandbox")
    )
    seen_at = Greatest(
        Coalesce(Subquery(position.values("observed_at")[:1]), _NEVER),
        Coalesce(F("account__state__positions_at"), _NEVER),
    )
    rest = Case(When(state="submitted", then=F("amount") - F("filled_amount")), default=ZERO)
    unseen = Case(When(updated_at__gt=F("seen_at"), then=F("filled_amount")), default=ZERO)
    return (
        OrderIntent.objects.filter(_where(scope, target), sandbox=sandbox, reduce_only=False)
        .filter(Q(state="submitted") | Q(intent_id__gte=recent, filled_amount__gt=0))
        .exclude(pk=intent_id)
        .annotate(seen_at=seen_at)
        .values("symbol", "side")
        .annotate(base=Sum(rest + unseen))
    )


_SUMS: Final = {
    scope: (Prepared(partial(_held, scope)), Prepared(partial(_on_their_way, scope)))
    for scope in LimitScope
}
"""By scope, the queries for what is held and for what is on its way."""


def _members(limits: ScopeLimits) -> Any:
    """Return what `_where` compares the scope's rows with."""
    return _accounts_of(limits.target) if limits.scope is LimitScope.MODULE else limits.target


def _where(scope: LimitScope, members: Any) -> Q:
    """Return which rows of positions and intents a scope counts."""
    match scope:
        case LimitScope.FIRM:
            return Q()
        case LimitScope.VENUE:
            return Q(instrument__venue=members)
        case LimitScope.ACCOUNT:
            return Q(account=members)
        case LimitScope.INSTRUMENT:
            return Q(instrument=members)
        case LimitScope.MODULE:
            return Q(account__any=members)


def _accounts_of(module_id: str) -> Collection[str]:
    return list(
        AccountAllocation.objects.filter(module=module_id).values_list("account_id", flat=True)
    )


def _counts(limits: ScopeLimits, intent: OrderIntent) -> bool:
    """Tell whether a scope counts an order that is not written yet; as `_where` does rows."""
    match limits.scope:
        case LimitScope.FIRM:
            return True
        case LimitScope.VENUE:
            return bool(intent.instrument.venue_id == limits.target)
        case LimitScope.ACCOUNT:
            return bool(intent.account_id == limits.target)
        case LimitScope.INSTRUMENT:
            return str(intent.instrument_id) == limits.target
        case LimitScope.MODULE:
            return intent.account_id in _accounts_of(limits.target)


def _orders(limits: ScopeLimits, intent: OrderIntent, *, beside: Sequence[OrderIntent] = ()) -> int:
    """Return how many orders the scope sent in the last minute; a module's are its own."""
    if limits.max_orders_per_minute is None:
        return 0
    is_module = limits.scope is LimitScope.MODULE
    own = Q(module=limits.target) if is_module else _where(limits.scope, limits.target)
    sent = OrderIntent.objects.sent_within(MINUTE)
    others = [
        other
        for other in beside
        if (other.module_id == limits.target if is_module else _counts(limits, other))
    ]
    return sent.filter(own, sandbox=intent.sandbox).count() + len(others)
