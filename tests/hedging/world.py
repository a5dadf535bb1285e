"""Rows a hedge needs: priced instruments, synced accounts and their positions."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import AccountState, ExchangeAccount, Position
from hedging.models import Fill
from markets.models import Instrument, Quote, Venue
from strategies.models import OrderIntent
from tests import factories

PRICES = {"BTC": Decimal(50_000), "ETH": Decimal(2_500)}


def market(symbol: str = "BTC", *, venue: Venue | None = None, **fields: Any) -> Instrument:
    """An instrument whose feed has just been heard."""
    instrument = factories.instrument(symbol=symbol, venue=venue or factories.venue(), **fields)
    price = PRICES[symbol]
    now = timezone.now()
    Quote.objects.create(
        feed=factories.feed(exchange=instrument.venue, symbol=symbol, status="healthy"),
        bid=price - 1,
        ask=price + 1,
        bid_size=10,
        ask_size=10,
        venue_at=now,
        received_at=now,
        sequence=1,
    )
    return instrument


def synced(account: ExchangeAccount, *, at: datetime | None = None) -> ExchangeAccount:
    """Say that a complete look at the account's balance and positions was just taken."""
    now = at or timezone.now()
    AccountState.objects.filter(account=account).update(
        positions_at=now,
        reconciled_at=now,
        balance_at=now,
        equity=Decimal(1_000_000),
        initial_margin=Decimal(0),
    )
    return account


def trader(instrument: Instrument, **fields: Any) -> ExchangeAccount:
    """A synced account at the instrument's venue."""
    return synced(factories.account(exchange=instrument.venue, **fields))


def holds(account: ExchangeAccount, instrument: Instrument, size: str, **fields: Any) -> Position:
    return Position.objects.create(
        **{
            "account": account,
            "instrument": instrument,
            "size": Decimal(size),
            "observed_at": timezone.now(),
            **fields,
        }
    )


def join(*accounts: ExchangeAccount, sandbox: bool = False, **fields: Any) -> None:
    """Put accounts into one book."""
    module = factories.module(**{"dry_run_enabled": False, **fields})
    for account in accounts:
        factories.allocation(module=module, account=account, sandbox_mode=sandbox)


def fill_of(intent: OrderIntent, amount: str, *, at: datetime, trade_id: str = "1") -> Fill:
    return Fill.objects.create(
        account=intent.account,
        instrument=intent.instrument,
        intent=intent,
        trade_id=trade_id,
        side=intent.side,
        amount=Decimal(amount),
        price=PRICES[intent.symbol],
        venue_at=at,
    )


def moved(intent: OrderIntent, *places: tuple[str, str], filled: str = "0") -> OrderIntent:
    """Walk an intent along its table and set what was filled."""
    for state, submission in places:
        OrderIntent.objects.filter(pk=intent.pk).update(state=state, submission=submission)
    OrderIntent.objects.filter(pk=intent.pk).update(filled_amount=Decimal(filled))
    intent.refresh_from_db()
    return intent


def refused(intent: OrderIntent) -> OrderIntent:
    """Claim an intent and have the venue refuse it."""
    now = timezone.now()
    claim = {"claim_fence": 1, "claimed_by": "w", "signed_at": now, "expires_at": now}
    for place in (
        {"state": "submitted", "submission": "sending", **claim},
        {"state": "failed", "submission": "acknowledged"},
    ):
        OrderIntent.objects.filter(pk=intent.pk).update(**place)
    return intent
