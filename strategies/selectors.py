"""Reads of strategies: what an order's gate needs to know at this moment."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import Case, Count, F, Q, Sum, When

from accounts.choices import AccountStatus
from accounts.models import AccountState, ExchangeAccount, Position
from markets import selectors as markets
from strategies.choices import ModuleStatus
from strategies.domain.gate import Circumstances, Holding
from strategies.models import OrderIntent

POSITIONS_VALID: Final = timedelta(seconds=60)
"""Positions read longer ago than this, and than four sync intervals, are unknown."""
SYNCS_VALID: Final = 4


def intent_to_send(intent_id: UUID | str) -> OrderIntent:
    """Return the intent with everything its sending needs; raises DoesNotExist."""
    return OrderIntent.objects.select_related(
        "instrument",
        "module",
        "account__exchange",
        "account__risk_envelope",
        "account__proxy_session__proxy_profile",
    ).get(pk=intent_id)


def account_for_claim(account_id: str) -> ExchangeAccount:
    """Return the account, locked until the transaction ends: its claims come one by one."""
    account: ExchangeAccount = (
        ExchangeAccount.objects.select_for_update(of=("self",), no_key=True)
        .select_related("exchange", "risk_envelope")
        .get(pk=account_id)
    )
    return account


def holding(intent: OrderIntent, *, now: datetime) -> Holding:
    """Return the account's holding of the intent's instrument, other sent orders counted whole.

    What an order filled since the position was last read is counted too: the position may not
    show it yet.
    """
    position, seen_at = _position(intent, now=now)
    others = (
        OrderIntent.objects.filter(
            account=intent.account, instrument=intent.instrument, sandbox=intent.sandbox
        )
        .filter(Q(state="submitted") | Q(updated_at__gt=seen_at, filled_amount__gt=0))
        .exclude(pk=intent.pk)
    )
    open_rest = Case(
        When(state="submitted", then=F("amount") - F("filled_amount")), default=Decimal(0)
    )
    unseen = Case(When(updated_at__gt=seen_at, then=F("filled_amount")), default=Decimal(0))
    sums = others.aggregate(
        buying=Sum(open_rest + unseen, filter=Q(side="buy")),
        selling=Sum(open_rest + unseen, filter=Q(side="sell")),
        unknown=Count("pk", filter=Q(state="submitted", submission="unknown")),
    )
    return Holding(
        position=position,
        buying=sums["buying"] or Decimal(0),
        selling=sums["selling"] or Decimal(0),
        has_unknown_order=bool(sums["unknown"]),
    )


def _position(intent: OrderIntent, *, now: datetime) -> tuple[Decimal | None, datetime]:
    """Return the signed base size (None when unknown) and until when it tells of fills."""
    row = (
        Position.objects.filter(
            account=intent.account, instrument=intent.instrument, sandbox=intent.sandbox
        )
        .values_list("size", "observed_at")
        .first()
    )
    if intent.sandbox:  # our own record: always known, written with each fill
        return (row[0] if row else Decimal(0)), now
    read_at = positions_read_at(intent.account, now=now)
    if read_at is None:
        return None, now
    return (row[0], max(row[1], read_at)) if row else (Decimal(0), read_at)


def positions_read_at(account: ExchangeAccount, *, now: datetime) -> datetime | None:
    """Return when the account's positions were last read completely; None when too long ago."""
    read_at: datetime | None = (
        AccountState.objects.filter(account=account).values_list("positions_at", flat=True).first()
    )
    validity = max(POSITIONS_VALID, SYNCS_VALID * timedelta(seconds=account.sync_interval_seconds))
    return read_at if read_at is not None and now - read_at <= validity else None


def circumstances(intent: OrderIntent, *, now: datetime) -> Circumstances:
    """Return the stops, limits and prices that hold for the intent right now."""
    account = intent.account
    return Circumstances(
        account_is_active=account.status == AccountStatus.ACTIVE,
        venue_is_enabled=account.exchange.is_enabled,
        module_is_enabled=intent.module.status == ModuleStatus.ENABLE,
        instrument_is_active=intent.instrument.is_active,
        reference=markets.reference_price(intent.symbol, now=now),
        max_position_value=account.max_position_value,
        slippage_tolerance_percent=account.risk_envelope.slippage_tolerance,
    )
