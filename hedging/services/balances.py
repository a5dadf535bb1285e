"""Reconciliation of money: the wallet against its record; funding against its model.

Trades, fees, funding, and transfers as the venue's history tells them, explain a wallet to the
cent. What they do not is a break. Where a venue tells no transfers it can only be one; elsewhere
nothing explains it. Nobody is stopped by it: a person looks, and accepts it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, Sum, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce

from accounts.models import AccountState, ExchangeAccount, FundingPayment, Position, Transfer
from accounts.reading import AccountReading
from controlplane.base.audit import Actor
from controlplane.kernel.ids import uuid7_floor, uuid7_time
from controlplane.kernel.units import DECIMAL_PLACES, ZERO, plain
from hedging.domain.money import (
    BASIS_POINT,
    PAID_WITHIN,
    UNCLEAR_AROUND,
    CashCheck,
    CostedPosition,
    HeldCash,
    Settled,
    cash_of,
    check_cash,
    funding_gap,
    tolerance_of,
)
from hedging.domain.reconciliation import BreakKind, Difference
from hedging.models import Fill, ReconciliationBreak
from hedging.services.breaks import breaks_settle
from markets.models import FundingRate, Instrument
from markets.venues.capabilities import Capabilities
from markets.venues.registry import capabilities
from markets.venues.types import PositionReport, Side

SETTLED: Final = timedelta(minutes=1)
"""A trade is in the record, whoever wrote it, this long after its id was made."""
LOOKED_BACK: Final = timedelta(days=2)
"""Settlements older than this are not compared any more; what was found then stays."""
BOOKED: Final = timedelta(minutes=2)
"""A settlement's payment is looked for when the venue has had so long to book it."""


@transaction.atomic
def cash_compare(
    *, account: ExchangeAccount, reading: AccountReading, actor: Actor
) -> list[ReconciliationBreak]:
    """Compare an account's money with the record at a complete look at its venue.

    Left alone: a venue that tells no funding, an account that holds something unlisted or of
    unknown cost. Where to begin from is taken from a look that has read funding and transfers too
    (what was booked and not read would be missed later on) and holds when a second look has agreed:
    a trade may fall between the answers of one. Belongs behind the comparison of positions.
    """
    held = _costed(account, reading.positions or ())
    venue = account.exchange
    told = capabilities(venue.dialect, venue.endpoint())
    if not told.funding_history or held is None or reading.balance is None:
        return []
    state = AccountState.objects.select_for_update().get(account=account.pk)
    flows = _Flows(account.pk, state, reading.at - SETTLED)
    cash = cash_of(reading.balance.wallet_balance, held)
    check = check_cash(
        HeldCash(
            cash=cash,
            tolerance=tolerance_of(held),
            base=state.base_cash,
            flows=flows.total,
            unexplained=state.cash_unexplained,
            since=state.cash_unexplained_at,
            last_flow_at=flows.last_at,
        ),
        at=reading.at,
        read_at=_read_at(state, told),
    )
    has_begun = state.cash_agreed_at is not None
    if state.base_cash is None or (check.unexplained and not has_begun):
        has_read = reading.is_whole(reading.transfers) or not told.transfer_history
        has_read = has_read and reading.is_whole(reading.funding)
        _begin(state, flows, cash, reading, has_read=has_read)
        return []
    _write(state, check, flows, reading.at)
    if check.unexplained and not check.is_certain:
        return []
    return breaks_settle(
        account=account,
        kinds=[BreakKind.BALANCE_MISMATCH],
        differences=[_moved(account, state, check, told)] if check.is_certain else [],
        at=reading.at,
        actor=actor,
    )


def _read_at(state: AccountState, told: Capabilities) -> datetime | None:
    """Return until when all that the venue tells of money beside trades has been read."""
    if not told.transfer_history:
        return state.funding_at
    if state.funding_at is None or state.transfers_at is None:
        return None
    return min(state.funding_at, state.transfers_at)


def _costed(
    account: ExchangeAccount, reports: Iterable[PositionReport]
) -> Sequence[CostedPosition] | None:
    """Return what is held at which cost; None where that is not known of all of it."""
    held = [report for report in reports if report.size]
    symbols = [report.venue_symbol for report in held]
    listed = Instrument.objects.filter(venue=account.exchange_id, venue_symbol__in=symbols)
    ticks = dict(listed.values_list("venue_symbol", "tick"))
    costed = [
        CostedPosition(report.size, report.entry_price, ticks[report.venue_symbol])
        for report in held
        if report.entry_price and report.venue_symbol in ticks
    ]
    return costed if len(costed) == len(held) else None


class _Flows:
    """What trades, fees, funding and transfers added to an account's cash since it last agreed.

    `total` is all of it, `unsettled` the part whose trades may still be on their way to the record.
    Each table is read by one statement: what is written in between would be in one sum and not in
    the other, and the base be wrong for ever.
    """

    def __init__(self, account_id: str, state: AccountState, settled: datetime) -> None:
        self.settled = settled
        since = uuid7_floor(settled if state.base_cash_at is None else state.base_cash_at)
        late = Q(pk__gte=uuid7_floor(settled))
        fills = Fill.objects.filter(account=account_id, sandbox=False, pk__gte=since).order_by()
        spent = F("amount") * F("price")
        cost = Case(When(side=str(Side.BUY), then=-spent), default=spent)
        fee = Case(When(fee_asset__in=["", state.settlement_asset], then=F("fee")), default=ZERO)
        traded = fills.aggregate(**_sums(cost - fee, late))
        booked = [
            model.objects.filter(account=account_id, asset=state.settlement_asset, pk__gte=since)
            .order_by()
            .aggregate(**_sums(F("amount"), late))
            for model in (FundingPayment, Transfer)
        ]
        self.total: Decimal = sum((it["total"] for it in booked), traded["total"])
        self.unsettled: Decimal = sum((it["late"] for it in booked), traded["late"])
        newest = fills.order_by("-pk").values_list("pk", flat=True).first()
        self.last_at = None if newest is None else uuid7_time(newest)

    @property
    def settled_total(self) -> Decimal:
        """The part that is certainly whole by now."""
        return self.total - self.unsettled


def _sums(amount: CombinedExpression | F, late: Q) -> dict[str, Coalesce]:
    """Return the sum of an amount over all rows, and over those that are late."""
    return {
        "total": Coalesce(Sum(amount), ZERO),
        "late": Coalesce(Sum(amount, filter=late), ZERO),
    }


def _begin(
    state: AccountState, flows: _Flows, cash: Decimal, reading: AccountReading, *, has_read: bool
) -> None:
    """Take a look's cash as where to begin from; or have funding and transfers read first."""
    if has_read:
        state.base_cash = round(cash - flows.unsettled, DECIMAL_PLACES)
        state.base_cash_at, state.cash_unexplained_at = flows.settled, None
    else:
        state.cash_unexplained_at = state.cash_unexplained_at or reading.at
    state.save(update_fields=["base_cash", "base_cash_at", "cash_unexplained_at"])


def _write(state: AccountState, check: CashCheck, flows: _Flows, at: datetime) -> None:
    """Keep what was found; where all is explained, carry the base on by what explains it.

    The base is never set to what was read: differences too small to tell would add up unseen.
    """
    assert state.base_cash is not None, "compared only once begun"
    state.cash_unexplained = round(check.unexplained, DECIMAL_PLACES)
    state.cash_unexplained_at = check.since
    if not check.unexplained:
        state.base_cash = round(state.base_cash + flows.settled_total, DECIMAL_PLACES)
        state.base_cash_at, state.cash_agreed_at = flows.settled, at
    state.save(
        update_fields=[
            "base_cash",
            "base_cash_at",
            "cash_agreed_at",
            "cash_unexplained",
            "cash_unexplained_at",
        ]
    )


def _moved(
    account: ExchangeAccount, state: AccountState, check: CashCheck, told: Capabilities
) -> Difference:
    """Return the difference; where transfers are not told, it can only be one."""
    disputed = Position.objects.live().filter(account=account.pk, disputed_at__isnull=False)
    origin = "unexplained" if told.transfer_history else "external-transfer"
    return Difference(
        BreakKind.BALANCE_MISMATCH,
        state.settlement_asset,
        "",
        {
            "unexplained": plain(round(check.unexplained, 2)),
            "asset": state.settlement_asset,
            "origin": "unexplained-position" if disputed.exists() else origin,
        },
    )


# Funding


@dataclass(frozen=True, slots=True)
class _Due:
    """A settlement to compare: the contract, the rate paid and the mark it was paid on."""

    instrument_id: UUID
    venue_symbol: str
    at: datetime
    rate: Decimal
    mark: Decimal

    @property
    def subject(self) -> str:
        return f"{self.venue_symbol} {self.at:%Y-%m-%dT%H:%M:%SZ}"


def funding_compare(
    *, account: ExchangeAccount, at: datetime, actor: Actor
) -> list[ReconciliationBreak]:
    """Compare what an account was paid with rate x position x mark, by settlement.

    Needs the rate paid and the mark from the venue's own history, and an explained position; what
    is off by more than a basis point of the position's value is a break.
    """
    compared: list[str] = []
    differences = []
    rows = Position.objects.live().filter(account=account.pk, disputed_at=None)
    sizes = dict(rows.order_by().values_list("instrument_id", "size"))
    dues = list(_settlements(account, sizes, at))
    history = _History(account, dues)
    for due in dues:
        settled = history.settled(due, sizes[due.instrument_id])
        if settled is None:
            continue
        compared.append(due.subject)
        gap = funding_gap(settled)
        if abs(gap) > BASIS_POINT:
            differences.append(_off(due, settled, gap))
    return breaks_settle(
        account=account,
        kinds=[BreakKind.FUNDING_MISMATCH],
        differences=differences,
        subjects=compared,
        at=at,
        actor=actor,
    )


def _settlements(
    account: ExchangeAccount, sizes: Mapping[UUID, Decimal], at: datetime
) -> Iterable[_Due]:
    """Yield the settlements that the venue has told whole, since the account was first read."""
    since = max(at - LOOKED_BACK, account.created_at)
    rates = FundingRate.objects.filter(
        instrument__in=sizes, is_settled=True,
        funding_time__gte=since, funding_time__lte=at - BOOKED,
    ).order_by("funding_time", "pk")  # fmt: skip
    for row in rates.select_related("instrument"):
        if row.mark_price is not None:
            yield _Due(
                row.instrument_id,
                row.instrument.venue_symbol,
                row.funding_time,
                row.rate,
                row.mark_price,
            )


class _History:
    """The trades and payments of an account since the first of some settlements, read once.

    Trades and settlements are ordered by the venue's clock, which tells both.
    """

    def __init__(self, account: ExchangeAccount, dues: Sequence[_Due]) -> None:
        self._traded: dict[UUID, list[tuple[datetime, Decimal]]] = defaultdict(list)
        self._paid: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
        if not dues:
            return
        first = min(due.at for due in dues)
        fills = Fill.objects.filter(
            account=account.pk, sandbox=False, instrument__in={due.instrument_id for due in dues},
            venue_at__gte=first - UNCLEAR_AROUND,
        ).order_by()  # fmt: skip
        signed = Case(When(side=str(Side.BUY), then=F("amount")), default=-F("amount"))
        for instrument_id, at, size in fills.values_list("instrument_id", "venue_at", signed):
            self._traded[instrument_id].append((at, size))
        payments = FundingPayment.objects.filter(account=account.pk, venue_at__gte=first).order_by()
        for symbol, at, amount in payments.values_list("venue_symbol", "venue_at", "amount"):
            self._paid[symbol].append((at, amount))

    def settled(self, due: _Due, size_now: Decimal) -> Settled | None:
        """Return what was held and paid then; None where a trade was too near to tell."""
        since = due.at - UNCLEAR_AROUND
        later = [(at, size) for at, size in self._traded[due.instrument_id] if at >= since]
        if any(at <= due.at + UNCLEAR_AROUND for at, _ in later):
            return None
        paid = sum(
            (it for at, it in self._paid[due.venue_symbol] if due.at <= at < due.at + PAID_WITHIN),
            ZERO,
        )
        return Settled(due.rate, due.mark, size_now - sum((it for _, it in later), ZERO), paid)


def _off(due: _Due, settled: Settled, gap: Decimal) -> Difference:
    return Difference(
        BreakKind.FUNDING_MISMATCH,
        due.subject,
        due.venue_symbol,
        {
            "paid": plain(settled.paid),
            "rate": plain(settled.rate),
            "mark": plain(settled.mark),
            "size": plain(settled.size),
            "offBp": plain(round(gap / BASIS_POINT, 2)),
        },
    )
