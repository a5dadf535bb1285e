"""What the product knows of the accounts that are stopped: rows, and orders that rest."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

import pgtrigger
from django.db import transaction
from django.utils import timezone

from accounts.choices import AccountStatus
from accounts.models import AccountState, ExchangeAccount
from controlplane.base.audit import Actor, Surface
from controlplane.benchmarks.stop_venues import SYMBOL, VENUES, Account, Place
from controlplane.kernel.units import BaseAmount, Price
from hedging.emergency.asking import ask_all
from hedging.emergency.verbs import stop_release
from hedging.models import EmergencyStop, StoppedAccount
from markets.models import Instrument, Venue
from markets.venues.ports import ExecutionClient
from markets.venues.types import OrderReport, OrderType, Side, SubmitOrder
from strategies import services
from strategies.domain.intent import IntentEvent
from strategies.models import AccountAllocation, OrderIntent, StrategyModule
from strategies.services import Move

ACTOR: Final = Actor(name="benchmark", surface=Surface.COMMAND)
_VALID: Final = timedelta(seconds=10)


def rows_write(accounts: Sequence[Account], places: Sequence[Place]) -> None:
    """Write venues, contracts, accounts and a module for each book."""
    venues = [_venue(number, place) for number, place in enumerate(places)]
    for number, account in enumerate(accounts):
        module, _made = StrategyModule.objects.get_or_create(
            module_id=f"book-{number // VENUES}",
            defaults={
                "name": "Book",
                "type": "hedge-only",
                "status": "enable",
                "dry_run_enabled": False,
            },
        )
        made = ExchangeAccount.objects.create(
            account_id=account.name,
            exchange=venues[account.place],
            account_name=account.name,
            api_key=account.key,
            api_secret=account.secret,
            max_position_value=10**6,
        )
        AccountAllocation.objects.create(
            module=module, account=made, weight="0.5", sandbox_mode=False
        )


def _venue(number: int, place: Place) -> Venue:
    venue = Venue.objects.create(
        venue_id=f"paper-{number}",
        name=f"Paper {number}",
        dialect="binance",
        environment="paper",
        rest_endpoint=place.rest,
        ws_endpoint=place.websocket,
    )
    Instrument.objects.create(
        venue=venue,
        venue_symbol=SYMBOL,
        symbol="BTC",
        quote_asset="USDT",
        contract_size=1,
        tick="0.1",
        lot="0.001",
        min_qty="0.001",
        min_notional=5,
        maker_fee="0.0002",
        taker_fee="0.0005",
    )
    return venue


def orders_rest(*, count: int, amount: str, price: str) -> None:
    """Have `count` orders of every account rest: written, claimed, sent and acknowledged.

    The gate is not asked: it wants fresh prices, and nobody here reads any.
    """
    accounts = _accounts()
    instruments = {it.venue_id: it for it in Instrument.objects.all()}
    drafts = [
        services.intent_draft(
            module=it.module,
            account=accounts[it.account_id],
            instrument=instruments[accounts[it.account_id].exchange_id],
            side=Side.BUY,
            type=OrderType.LIMIT,
            amount=Decimal(amount),
            price=Decimal(price),
            sandbox=False,
        )
        for it in AccountAllocation.objects.select_related("module")
        for _ in range(count)
    ]
    _claim(drafts)

    async def submit(name: str, client: ExecutionClient) -> Sequence[OrderReport]:
        return [await client.submit(_order(it)) for it in drafts if it.account_id == name]

    _record(ask_all(accounts, submit))


def _claim(drafts: Sequence[OrderIntent]) -> None:
    now = timezone.now()
    changes = {
        "claim_fence": 1,
        "claimed_by": ACTOR.name,
        "signed_at": now,
        "expires_at": now + _VALID,
    }
    with transaction.atomic():
        services.intents_write(drafts, actor=ACTOR)
        moves = [Move(draft, IntentEvent.CLAIM, changes=changes) for draft in drafts]
        services.intents_move(moves, actor=ACTOR)


def _order(intent: OrderIntent) -> SubmitOrder:
    assert intent.price is not None
    return SubmitOrder(
        SYMBOL,
        Side.BUY,
        OrderType.LIMIT,
        BaseAmount(intent.amount),
        intent.client_order_id,
        price=Price(intent.price),
    )


def orders_follow() -> None:
    """Record what the venues say now of every order that was resting, as the next looks would."""
    sent: dict[str, list[str]] = {}
    resting = OrderIntent.objects.filter(state="submitted")
    for name, order in resting.values_list("account_id", "client_order_id"):
        sent.setdefault(name, []).append(order)

    async def look(name: str, client: ExecutionClient) -> Sequence[OrderReport]:
        return [await client.order(SYMBOL, order) for order in sent[name]]

    _record(ask_all({name: it for name, it in _accounts().items() if name in sent}, look))


def _record(answers: Mapping[str, Sequence[OrderReport] | BaseException]) -> None:
    """Apply what venues said of orders; raises the first error there is."""
    for name, told in answers.items():
        if isinstance(told, BaseException):
            raise told
        services.orders_record(account_id=name, reports=told, actor=ACTOR)


def release() -> None:
    """Give everything back as a person would after a reconciliation."""
    AccountState.objects.update(reconciled_at=timezone.now())
    standing = EmergencyStop.objects.standing().get()
    stop_release(stop=standing, actor=ACTOR, reason="benchmark")


def forget_stops() -> None:
    """Take every stop back as if it had never been pulled."""
    kept = ("hedging.EmergencyStop:stop_kept", "hedging.StoppedAccount:stopped_kept")
    with transaction.atomic(), pgtrigger.ignore(*kept):
        StoppedAccount.objects.all().delete()
        EmergencyStop.objects.all().delete()
        ExchangeAccount.objects.update(status=AccountStatus.ACTIVE)


def _accounts() -> dict[str, ExchangeAccount]:
    return {it.pk: it for it in ExchangeAccount.objects.for_sync()}
