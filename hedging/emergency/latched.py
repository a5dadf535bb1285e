"""What comes back to accounts that were confirmed: it is seen, told of, and closed again."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from accounts.models import AccountState, ExchangeAccount, Position
from controlplane.base import jobs
from controlplane.kernel.errors import Conflict
from controlplane.kernel.units import BaseAmount, Price, plain
from hedging.domain.emergency import StopEvent, StopScope, StopState
from hedging.emergency import telling
from hedging.emergency.flattening import Holder
from hedging.emergency.rows import row_move, stop_follow
from hedging.jobs import DriveStop
from hedging.models import EmergencyStop, StoppedAccount
from markets.venues.types import PositionReport

READ_EVERY: Final = timedelta(seconds=10)
"""A stopped account is read so often, whatever its own interval."""


def latched_due(now: datetime) -> Sequence[ExchangeAccount]:
    """Return the confirmed accounts that nobody has begun to read lately."""
    read = Q(state__sync_started_at__gt=now - READ_EVERY)
    latched = ExchangeAccount.objects.syncable().filter(stops__state=StopState.LATCHED)
    return list(latched.exclude(read).for_sync().order_by("pk").distinct())


def latched_reopen() -> int:
    """Take up the accounts where something has come back since they were confirmed.

    Goes by complete looks begun after the confirmation only; what is found is told of, and the
    stop is driven anew: cancelled, closed, and confirmed by the venue. Returns how many.
    """
    suspects = (
        StoppedAccount.objects.filter(state=StopState.LATCHED)
        .filter(_positions_back() | _orders_back())
        .select_related("stop", "account__risk_envelope")
        .order_by("pk")
    )
    return sum(_reopen(row, back) for row in suspects if (back := _come_back(row)))


def _positions_back() -> Q:
    """A position in a complete look from after the confirmation, where positions are closed."""
    held = (
        Position.objects.live()
        .held()
        .filter(account=OuterRef("account"), observed_at__gt=OuterRef("confirmed_at"))
    )
    is_read = Q(account__state__positions_at__gt=F("confirmed_at"))
    return Q(Exists(held), stop__flatten=True) & is_read


def _orders_back() -> Q:
    """Open orders since the confirmation; of a module's stop, others may have them."""
    return Q(
        account__state__orders_at__gt=F("confirmed_at"), account__state__open_orders__gt=0
    ) & ~Q(stop__scope=StopScope.MODULE)


def _come_back(row: StoppedAccount) -> str:
    """Return what has come back, for people; empty when nothing that a stop would close."""
    found = [f"{plain(it.size)} {it.instrument.symbol}" for it in _legs_back(row)]
    state = AccountState.objects.get(pk=row.account_id)
    at, count, confirmed = state.orders_at, state.open_orders, row.confirmed_at
    is_read = at is not None and confirmed is not None and at > confirmed
    if count and is_read and row.stop.scope != StopScope.MODULE:
        found.append(f"{count} open orders")
    return ", ".join(found)


def _legs_back(row: StoppedAccount) -> Iterable[Position]:
    """Return the positions that the stop covers and that are large enough to close."""
    if not row.stop.flatten:
        return []
    held = Position.objects.live().held().filter(account=row.account_id)
    rows = held.filter(observed_at__gt=row.confirmed_at).select_related("instrument")
    holder = Holder(row.stop, {row.account_id: row.account})
    return [it for it in rows if holder.holdings(row.account_id, [_report(it)]).is_to_close]


def _report(row: Position) -> PositionReport:
    return PositionReport(
        venue_symbol=row.instrument.venue_symbol,
        size=BaseAmount(row.size),
        entry_price=None,
        mark_price=None if row.mark_price is None else Price(row.mark_price),
        unrealized_pnl=None,
        liquidation_price=None,
        initial_margin=None,
        at=row.observed_at,
    )


@transaction.atomic
def _reopen(row: StoppedAccount, back: str) -> bool:
    stop, now = row.stop, timezone.now()
    within = timedelta(seconds=row.account.risk_envelope.emergency_stop_loss_seconds)
    with suppress(Conflict):  # released, or taken up by somebody else, in this moment
        row_move(
            row,
            StopEvent.REOPEN,
            confirmed_at=None,
            flat_at=None,
            cancelled_at=None,
            next_try_at=now,
            deadline_at=now + within,
            overdue_at=None,
            last_error=f"Came back: {back}"[:500],
        )
        EmergencyStop.objects.filter(pk=stop.pk).update(latched_at=None)
        stop_follow(stop)
        telling.came_back(stop, row, back)
        jobs.enqueue(DriveStop, stop_id=str(stop.pk))
        return True
    return False
