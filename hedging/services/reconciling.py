"""Continuous reconciliation: our intents, the venue's orders and trades, its positions.

Every look over HTTP (a sync, a repaired stream, a recovery after a start) ends here, so there is
one path. When all of it was answered and compared, the account may open exposure again.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import egress
from accounts.models import ExchangeAccount, Position
from accounts.reading import AccountReading, fills_asked
from accounts.selectors import FILLS_OVERLAP, able_to_read
from accounts.services import reconciled
from controlplane.base.audit import Actor
from controlplane.kernel.errors import ControlPlaneError
from controlplane.kernel.ids import uuid7_floor, uuid7_time
from controlplane.kernel.secrets import redact
from controlplane.kernel.units import ZERO, plain
from hedging.domain.reconciliation import (
    ORDER_KINDS,
    BreakKind,
    Difference,
    HeldPosition,
    OurOrder,
    PositionCheck,
    check_position,
    fill_differences,
    order_differences,
)
from hedging.models import Fill, ReconciliationBreak
from hedging.services.balances import cash_compare, funding_compare
from hedging.services.breaks import breaks_settle
from hedging.services.fills import fills_attach, fills_record
from markets.models import Instrument
from markets.venues.types import OrderReport, Side
from strategies.claims import CLOCK_MARGIN
from strategies.domain.intent import Submission
from strategies.execution import unknown_resolve
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)

RECENT: Final = timedelta(hours=1)
"""Ended orders are compared with their trades this long."""
SETTLED: Final = timedelta(minutes=1)
"""A trade is in the record, whoever wrote it, this long after its id was made."""
LOOKUPS: Final = 10
"""Orders asked for in one look; the rest waits for the next."""


def account_reconcile(
    *,
    account: ExchangeAccount,
    reading: AccountReading,
    has_recorded_fills: bool = False,
    actor: Actor,
) -> list[ReconciliationBreak]:
    """Compare our record of an account with what a look at its venue told; return what is open.

    Belongs outside a transaction: orders that should be listed and are not are asked for first.
    What the look does not tell is not compared. Only a complete one makes the account reconciled.
    Trades of the look are recorded first, unless the caller has done so.
    """
    if reading.fills and not has_recorded_fills:
        fills_record(account_id=account.pk, reports=reading.fills, actor=actor)
    found = []
    if reading.open_orders is not None:
        found += _orders_compare(account, reading.open_orders, at=reading.at, actor=actor)
    _absent_recheck(account, at=reading.at, actor=actor)
    if reading.fills_complete:
        found += _fills_compare(account, at=reading.at, actor=actor)
    if reading.fills_complete and reading.positions is not None:
        found += positions_compare(account=account, at=reading.at, actor=actor)
    if reading.is_complete:
        found += cash_compare(account=account, reading=reading, actor=actor)
    if reading.is_whole(reading.funding):
        found += funding_compare(account=account, at=reading.at, actor=actor)
    if reading.is_complete and not _has_unlisted(account, reading):
        reconciled(account_id=account.pk, at=reading.at)
    return found


def _has_unlisted(account: ExchangeAccount, reading: AccountReading) -> bool:
    """Tell whether the account holds something that is no instrument of ours."""
    held = {report.venue_symbol for report in reading.positions or () if report.size}
    known = Instrument.objects.filter(venue=account.exchange_id, venue_symbol__in=held)
    return known.count() < len(held)


# Orders


def _orders_compare(
    account: ExchangeAccount, listed: Collection[OrderReport], *, at: datetime, actor: Actor
) -> list[ReconciliationBreak]:
    listed = list(listed)
    asked = _ours(account, listed)
    doubtful = {
        item.subject
        for item in order_differences(asked, listed, at=at)
        if item.kind is BreakKind.ORDER_MISSING_AT_VENUE
    }
    if doubtful:
        missing = OrderIntent.objects.live().filter(client_order_id__in=doubtful)
        for intent in missing.select_related("account", "instrument")[:LOOKUPS]:
            unknown_resolve(intent=intent, actor=actor)
        asked = _ours(account, listed)
    return breaks_settle(
        account=account,
        kinds=ORDER_KINDS,
        differences=order_differences(asked, listed, at=at),
        at=at,
        actor=actor,
    )


def _ours(account: ExchangeAccount, listed: Iterable[OrderReport]) -> list[OurOrder]:
    """Return our live orders, and those of ours that the venue lists."""
    named = [report.client_order_id for report in listed]
    return _orders(account, Q(state="submitted") | Q(client_order_id__in=named))


def _orders(account: ExchangeAccount, wanted: Q) -> list[OurOrder]:
    rows = (
        OrderIntent.objects.live()
        .filter(wanted, account=account)
        .annotate(booked=Coalesce(Sum("fills__amount"), ZERO))
        .select_related("instrument")
    )
    return [
        OurOrder(
            client_order_id=row.client_order_id,
            venue_symbol=row.instrument.venue_symbol,
            is_live=row.state == "submitted",
            acknowledged_at=(
                row.acknowledged_at if row.submission == Submission.ACKNOWLEDGED else None
            ),
            changed_at=row.updated_at,
            filled=row.filled_amount,
            booked=row.booked,
        )
        for row in rows
    ]


def _absent_recheck(account: ExchangeAccount, *, at: datetime, actor: Actor) -> None:
    """Ask anew for orders taken for not accepted beside a trade that nobody explains."""
    stranger = Fill.objects.external().filter(
        account=account,
        instrument=OuterRef("instrument"),
        side=OuterRef("side"),
        sandbox=False,
        venue_at__gte=OuterRef("signed_at") - CLOCK_MARGIN,
        client_order_id__in=["", OuterRef("client_order_id")],
    )
    absent = OrderIntent.objects.live().filter(
        Exists(stranger),
        account=account,
        state="failed",
        submission=str(Submission.NONE),
        claim_fence=1,
        signed_at__gte=at - RECENT,
    )
    for intent in absent.select_related("account", "instrument").order_by("pk")[:LOOKUPS]:
        unknown_resolve(intent=intent, actor=actor)
    fills_attach(actor=actor, account_id=account.pk)


# Trades


def _fills_compare(
    account: ExchangeAccount, *, at: datetime, actor: Actor
) -> list[ReconciliationBreak]:
    """Read the trades of orders that lack some; what stays lacking is a break."""
    recent = Q(updated_at__gte=at - RECENT, filled_amount__gt=0)
    lacking = fill_differences(_orders(account, recent), at=at)
    symbols = sorted({item.venue_symbol for item in lacking})[:LOOKUPS]
    if symbols and _fills_fetch(account, symbols, lacking, actor=actor):
        lacking = fill_differences(_orders(account, recent), at=at)
    return breaks_settle(
        account=account,
        kinds=[BreakKind.FILL_UNKNOWN_TO_US],
        differences=lacking,
        at=at,
        actor=actor,
    )


def _fills_fetch(
    account: ExchangeAccount,
    symbols: Sequence[str],
    lacking: Iterable[Difference],
    *,
    actor: Actor,
) -> bool:
    ids = [item.subject for item in lacking]
    oldest = OrderIntent.objects.filter(client_order_id__in=ids).order_by("pk").first()
    if oldest is None:
        return False
    since = uuid7_time(oldest.pk) - FILLS_OVERLAP
    try:
        client = egress.execution_client(able_to_read(account))
        for asked in fills_asked(client, symbols):
            reports = egress.run(client.fills(asked, since=since))
            fills_record(account_id=account.pk, reports=reports, actor=actor)
    except ControlPlaneError as error:
        logger.warning("Trades of %s: %s", account.pk, redact(error.message))
        return False
    return True


# Positions


@transaction.atomic
def positions_compare(
    *, account: ExchangeAccount, at: datetime, actor: Actor, is_look: bool = True
) -> list[ReconciliationBreak]:
    """Compare every position with the trades since it last agreed.

    `is_look`: a complete look was begun at `at`; only then a difference becomes certain, which
    forbids opening more of the instrument. Else it is but noted, and a look is called for.
    """
    rows = list(
        Position.objects.live()
        .filter(account=account)
        .select_related("instrument")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    traded = _Traded(account, rows, at=at)
    differences = []
    for row in rows:
        check = check_position(traded.held(row), at=at)
        if check.is_disputed and is_look:
            differences.append(_mismatch(row, check))
        _write(row, check, traded, at=at, is_look=is_look)
    if not is_look:
        return []
    return breaks_settle(
        account=account,
        kinds=[BreakKind.POSITION_MISMATCH],
        differences=differences,
        at=at,
        actor=actor,
    )


def unexplained_of(
    *, account: ExchangeAccount, instrument: Instrument, size: Decimal
) -> Decimal | None:
    """Return what of a position just read its trades do not explain; None when not comparable."""
    row = Position.objects.live().filter(account=account, instrument=instrument).first()
    if row is None:
        signed = _signed_sum(Fill.objects.filter(account=account, instrument=instrument))
        return size - signed
    if row.base_size is None:
        return None
    held = _Traded(account, [row], at=timezone.now()).held(row)
    return size - row.base_size - held.traded


class _Traded:
    """The trades of an account since its positions last agreed, by instrument."""

    def __init__(self, account: ExchangeAccount, rows: Iterable[Position], *, at: datetime) -> None:
        bases = [row.base_at for row in rows if row.base_at is not None]
        self._settled = at - SETTLED
        since = min([*bases, self._settled])
        self._fills: Mapping[UUID, list[tuple[UUID, Decimal]]] = defaultdict(list)
        for instrument_id, fill_id, side, amount in Fill.objects.filter(
            account=account, sandbox=False, pk__gte=uuid7_floor(since)
        ).values_list("instrument_id", "pk", "side", "amount"):
            self._fills[instrument_id].append((fill_id, Side(side).sign * amount))

    def since(self, row: Position, moment: datetime) -> Decimal:
        floor = uuid7_floor(moment)
        return sum((a for pk, a in self._fills[row.instrument_id] if pk >= floor), ZERO)

    def held(self, row: Position) -> HeldPosition:
        newest = max((pk for pk, _amount in self._fills[row.instrument_id]), default=None)
        return HeldPosition(
            size=row.size,
            base=row.base_size,
            traded=ZERO if row.base_at is None else self.since(row, row.base_at),
            unexplained=row.unexplained,
            since=row.unexplained_at,
            last_trade_at=None if newest is None else uuid7_time(newest),
        )

    def rebased(self, row: Position) -> tuple[Decimal, datetime]:
        """Return the size before all trades that may still be on their way to the record."""
        return row.size - self.since(row, self._settled), self._settled


def _write(
    row: Position, check: PositionCheck, traded: _Traded, *, at: datetime, is_look: bool
) -> None:
    row.unexplained, row.unexplained_at = check.unexplained, check.since
    if check.unexplained == 0:
        row.disputed_at = None
        if is_look:
            row.base_size, row.base_at = traded.rebased(row)
    elif check.is_disputed and is_look and row.disputed_at is None:
        row.disputed_at = at
    row.save(update_fields=["base_size", "base_at", "unexplained", "unexplained_at", "disputed_at"])


def _mismatch(row: Position, check: PositionCheck) -> Difference:
    return Difference(
        BreakKind.POSITION_MISMATCH,
        row.instrument.venue_symbol,
        row.instrument.venue_symbol,
        {"size": plain(row.size), "unexplained": plain(check.unexplained)},
    )


def _signed_sum(fills: Iterable[Fill]) -> Decimal:
    return sum((Side(fill.side).sign * fill.amount for fill in fills), ZERO)
