"""Reads of what counts against an order's limits: everything held and on its way in a scope."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Case, F, Max, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Abs, Coalesce, Greatest

from accounts.domain.risk import AccountStanding, LimitScope, ScopeLimits, ScopeSums, Tally
from accounts.models import EquitySample, Position
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
    over = RiskLimit.objects.over(intent)
    rows = [row.limits() for row in (over.locked() if lock else over.order_by("pk"))]
    return tuple(
        Tally(
            limits,
            scope_sums(limits, intent, moment, beside=beside),
            _orders(limits, intent, now=moment.now, beside=beside),
        )
        for limits in rows
    )


def account_standing(
    intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = ()
) -> AccountStanding | None:
    """Return how the order's account stands; None for a simulated one of unknown equity."""
    equity = moment.look(intent.account_id).equity
    if equity is None and intent.sandbox:
        return None
    midnight = moment.now.replace(hour=0, minute=0, second=0, microsecond=0)
    samples = EquitySample.objects.filter(account=intent.account_id, at__gte=midnight)
    own = ScopeLimits(LimitScope.ACCOUNT, intent.account_id)
    return AccountStanding(
        equity=equity,
        peak=samples.aggregate(peak=Max("equity"))["peak"],
        sums=scope_sums(own, intent, moment, beside=beside),
    )


def twin(intent: OrderIntent, *, now: datetime) -> str:
    """Return the id of an order of the same terms sent a moment ago, blank when there is none.

    One that ended without a fill is none: trying again is a new intent.
    """
    same = (
        OrderIntent.objects.sent_since(now - TWIN_WINDOW)
        .filter(
            account=intent.account_id,
            instrument=intent.instrument_id,
            module=intent.module_id,
            side=intent.side,
            type=intent.type,
            amount=intent.amount,
            price=intent.price,
            reduce_only=False,
            sandbox=intent.sandbox,
        )
        .filter(Q(state="submitted") | Q(filled_amount__gt=0))
        .exclude(pk=intent.pk)
    )
    found = same.values_list("pk", flat=True).first()
    return "" if found is None else str(found)


def scope_sums(
    limits: ScopeLimits, intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = ()
) -> ScopeSums:
    """Return what the scope holds and has on its way beside `intent`, in USD.

    A symbol without a reference price is worth what its venues mark it at; one without either
    leaves the sums unknown.
    """
    where = _where(limits)
    held = {
        row["instrument__symbol"]: row
        for row in Position.objects.filter(where, sandbox=intent.sandbox)
        .exclude(size=0)
        .values("instrument__symbol")
        .annotate(
            long=Coalesce(Sum("size", filter=Q(size__gt=0)), ZERO),
            short=Coalesce(Sum(-F("size"), filter=Q(size__lt=0)), ZERO),
            worth=Sum(Abs("size") * F("mark_price"), filter=Q(mark_price__isnull=False)),
            marked=Sum(Abs("size"), filter=Q(mark_price__isnull=False)),
        )
    }
    sent = _on_their_way(where, intent, now=moment.now)
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


def _on_their_way(where: Q, intent: OrderIntent, *, now: datetime) -> dict[str, dict[str, Decimal]]:
    """Return, by symbol and side, the base still to come of sent orders that may add to a position.

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
    rows = (
        OrderIntent.objects.filter(where, sandbox=intent.sandbox, reduce_only=False)
        .filter(
            Q(state="submitted")
            | Q(intent_id__gte=uuid7_floor(now - SETTLING), filled_amount__gt=0)
        )
        .exclude(pk=intent.pk)
        .annotate(seen_at=seen_at)
        .values("symbol", "side")
        .annotate(base=Sum(rest + unseen))
    )
    found: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for row in rows:
        if row["base"]:
            found[row["symbol"]][row["side"]] = row["base"]
    return found


def _where(limits: ScopeLimits) -> Q:
    """Return which rows of positions and intents a scope counts."""
    match limits.scope:
        case LimitScope.FIRM:
            return Q()
        case LimitScope.VENUE:
            return Q(instrument__venue=limits.target)
        case LimitScope.ACCOUNT:
            return Q(account=limits.target)
        case LimitScope.INSTRUMENT:
            return Q(instrument=limits.target)
        case LimitScope.MODULE:
            return Q(account__in=_accounts_of(limits.target))


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


def _orders(
    limits: ScopeLimits, intent: OrderIntent, *, now: datetime, beside: Sequence[OrderIntent] = ()
) -> int:
    """Return how many orders the scope sent in the last minute; a module's are its own."""
    if limits.max_orders_per_minute is None:
        return 0
    own = Q(module=limits.target) if limits.scope is LimitScope.MODULE else _where(limits)
    sent = OrderIntent.objects.sent_since(now - MINUTE)
    others = [
        other
        for other in beside
        if (
            other.module_id == limits.target
            if limits.scope is LimitScope.MODULE
            else _counts(limits, other)
        )
    ]
    return sent.filter(own, sandbox=intent.sandbox).count() + len(others)
