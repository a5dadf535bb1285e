"""What comes back to accounts that were confirmed: it is seen, told of, and closed again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from accounts.models import ExchangeAccount, Position
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
    suspects = list(
        StoppedAccount.objects.filter(state=StopState.LATCHED)
        .filter(_positions_back() | _orders_back())
        .select_related("stop", "account__risk_envelope", "account__state")
        .order_by("pk")
    )
    if not suspects:
        return 0
    held = _Held(suspects)
    return sum(_reopen(row, back) for row in suspects if (back := _come_back(row, held)))


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


def _come_back(row: StoppedAccount, held: "_Held") -> str:
    """Return what has come back, for people; empty when nothing that a stop would close."""
    found = [f"{plain(it.size)} {it.instrument.symbol}" for it in held.back(row)]
    state, confirmed = row.account.state, row.confirmed_at
    at, count = state.orders_at, state.open_orders
    is_read = at is not None and confirmed is not None and at > confirmed
    if count and is_read and row.stop.scope != StopScope.MODULE:
        found.append(f"{count} open orders")
    return ", ".join(found)


class _Held:
    """What stopped accounts hold as last read, and of what size a stop closes it: read once."""

    def __init__(self, rows: Sequence[StoppedAccount]) -> None:
        accounts = {row.account_id: row.account for row in rows}
        self._rows: dict[str, list[Position]] = defaultdict(list)
        live = Position.objects.live().held().filter(account__in=accounts)
        for position in live.select_related("instrument"):
            self._rows[position.account_id].append(position)
        stops = {row.stop_id: row.stop for row in rows}
        self._holders = {pk: Holder(stop, accounts) for pk, stop in stops.items()}

    def back(self, row: StoppedAccount) -> Iterable[Position]:
        """Return the positions that the stop covers and that are large enough to close."""
        if not row.stop.flatten or row.confirmed_at is None:
            return []
        holder = self._holders[row.stop_id]
        return [
            it
            for it in self._rows[row.account_id]
            if it.observed_at > row.confirmed_at
            and holder.holdings(row.account_id, [_report(it)]).is_to_close
        ]


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
