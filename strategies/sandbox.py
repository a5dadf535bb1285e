"""The sandbox: a venue inside this process, filled at live prices.

It implements the port of every venue, so the pipeline before and after it is the same code. Its
book is our own rows: an order is there when its intent says so, its trades follow from the
intents, and a position is the sum of them. Nothing here opens a socket.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from django.db import connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import observations
from accounts.models import ExchangeAccount, Position
from controlplane.base.audit import Actor
from controlplane.kernel.units import BaseAmount, Price, QuoteAmount
from markets import selectors as markets
from markets.domain.quotes import QuoteView
from markets.models import Instrument
from markets.venues.errors import NotOffered, OrderNotFound, VenueRejected, VenueUnavailable
from markets.venues.types import (
    BalanceReport,
    CancelOrder,
    FillReport,
    FundingPayment,
    MarginMode,
    MarginTerms,
    OrderReport,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionReport,
    Quarantined,
    Side,
    Slice,
    StreamAddress,
    SubmitOrder,
    Transfer,
)
from strategies import services
from strategies.domain import simulation
from strategies.domain.intent import IntentState
from strategies.domain.simulation import SimulatedFill, SimulatedOrder
from strategies.models import OrderIntent

T = TypeVar("T")

_STATUS: Final = {
    IntentState.FILLED: OrderStatus.FILLED,
    IntentState.CANCELLED: OrderStatus.CANCELLED,
    IntentState.FAILED: OrderStatus.REJECTED,
}


class SandboxClient:
    """One account's sandbox, with the port of an `ExecutionClient`."""

    fills_at_once = True

    def __init__(self, account: ExchangeAccount) -> None:
        self._account = account

    async def balance(self) -> BalanceReport:
        """Return the account's real margin state: the sandbox has no money of its own."""
        return await _with_rows(self._balance)

    async def positions(self) -> Sequence[PositionReport]:
        return await _with_rows(self._positions)

    async def open_orders(self) -> Sequence[OrderReport]:
        return await _with_rows(
            lambda: [_report(intent) for intent in resting().filter(account=self._account)]
        )

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        return await _with_rows(lambda: _report(self._placed(client_order_id)))

    async def fills(self, venue_symbols: Sequence[str], *, since: datetime) -> Sequence[FillReport]:
        return await _with_rows(
            lambda: [
                fill_report(intent)
                for intent in _filled(self._account).filter(
                    instrument__venue_symbol__in=venue_symbols, updated_at__gte=since
                )
            ]
        )

    async def funding_payments(self, *, since: datetime, cursor: str = "") -> Slice[FundingPayment]:
        return Slice(())

    async def transfers(
        self, *, since: datetime, cursor: str = ""
    ) -> Slice[Transfer | Quarantined]:
        return Slice(())

    async def submit(self, command: SubmitOrder) -> OrderReport:
        return await _with_rows(lambda: self._submit(command))

    async def cancel(self, command: CancelOrder) -> OrderReport:
        return await _with_rows(lambda: self._cancel(command))

    async def cancel_all(self, venue_symbol: str) -> None:
        raise VenueRejected("sandbox", "Orders of the sandbox are cancelled one by one.")

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        return None

    async def margin_terms(self, venue_symbol: str) -> MarginTerms:
        raise VenueUnavailable("The sandbox margins nothing: it has no money of its own.")

    async def set_margin_mode(self, venue_symbol: str, mode: MarginMode) -> None:
        raise NotOffered("The sandbox margins nothing.")

    async def position_mode(self) -> PositionMode:
        return PositionMode.ONE_WAY

    async def set_one_way(self) -> None:
        return None

    async def set_dead_man_timer(self, venue_symbol: str, after: timedelta) -> None:
        raise NotOffered("Orders of the sandbox live in this database alone.")

    async def open_private_stream(self) -> StreamAddress:
        raise VenueRejected("sandbox", "The sandbox has no stream.")

    async def keep_private_stream(self) -> None:
        raise VenueRejected("sandbox", "The sandbox has no stream.")

    async def confirm_private_stream(self, address: StreamAddress) -> None:
        raise VenueRejected("sandbox", "The sandbox has no stream.")

    async def close(self) -> None:
        return None

    def _balance(self) -> BalanceReport:
        state = self._account.state
        if state.balance_at is None:
            raise VenueUnavailable("The account's balance is unknown.")

        def known(value: Decimal | None) -> QuoteAmount:
            if value is None:
                raise VenueUnavailable("The account's balance is unknown.")
            return QuoteAmount(value)

        return BalanceReport(
            asset=state.settlement_asset,
            equity=known(state.equity),
            wallet_balance=known(state.wallet_balance),
            available=known(state.available),
            initial_margin=known(state.initial_margin),
            maintenance_margin=known(state.maintenance_margin),
            at=state.balance_at,
        )

    def _positions(self) -> list[PositionReport]:
        rows = Position.objects.filter(account=self._account, sandbox=True).held()
        return [
            PositionReport(
                venue_symbol=row.instrument.venue_symbol,
                size=BaseAmount(row.size),
                entry_price=row.entry_price,
                mark_price=row.mark_price,
                unrealized_pnl=row.unrealized_pnl,
                liquidation_price=None,
                initial_margin=None,
                at=row.observed_at,
            )
            for row in rows.select_related("instrument")
        ]

    def _submit(self, command: SubmitOrder) -> OrderReport:
        intent = self._intent(command.client_order_id)
        quote = _quote(intent.instrument)
        position = (
            Position.objects.filter(
                account=self._account, instrument=intent.instrument, sandbox=True
            )
            .values_list("size", flat=True)
            .first()
        )
        outcome = simulation.place(
            services.order_terms(intent),
            bid=quote.bid,
            ask=quote.ask,
            position=position or Decimal(0),
        )
        if outcome.status is OrderStatus.REJECTED:
            raise VenueRejected("sandbox", outcome.refusal)
        return _simulated_report(intent, outcome)

    def _cancel(self, command: CancelOrder) -> OrderReport:
        intent = self._placed(command.client_order_id)
        if intent.state != IntentState.SUBMITTED:
            raise OrderNotFound("sandbox", "The order is no longer open.")
        return _simulated_report(intent, SimulatedOrder(OrderStatus.CANCELLED))

    def _placed(self, client_order_id: str) -> OrderIntent:
        intent = self._intent(client_order_id)
        if intent.acknowledged_at is None:
            raise OrderNotFound("sandbox", "The order was never placed.")
        return intent

    def _intent(self, client_order_id: str) -> OrderIntent:
        intent: OrderIntent | None = (
            OrderIntent.objects.filter(
                account=self._account, client_order_id=client_order_id, sandbox=True
            )
            .select_related("instrument")
            .first()
        )
        if intent is None:
            raise OrderNotFound("sandbox", f"No sandbox order has the id {client_order_id}.")
        return intent


def resting() -> QuerySet[OrderIntent]:
    """Return the sandbox's open orders, oldest first."""
    return (
        OrderIntent.objects.filter(
            sandbox=True, state=IntentState.SUBMITTED, submission="acknowledged"
        )
        .select_related("instrument", "account")
        .order_by("intent_id")
    )


def orders_match(*, actor: Actor) -> list[OrderIntent]:
    """Fill the resting orders that fresh quotes have reached; returns them."""
    filled = []
    for intent in resting():
        quote = markets.fresh_quote(intent.instrument, now=timezone.now())
        if quote is None:
            continue
        outcome = simulation.rest(services.order_terms(intent), bid=quote.bid, ask=quote.ask)
        if outcome.status is OrderStatus.FILLED:
            report = _simulated_report(intent, outcome)
            moved = services.order_report_apply(intent=intent, report=report, actor=actor)
            book(moved)
            filled.append(moved)
    return filled


def book(intent: OrderIntent) -> None:
    """Bring the position in line with the intents and tell of the trade; safe to repeat."""
    if not intent.filled_amount:
        return
    _position_write(intent.account, intent.instrument)
    observations.publish(
        observations.FillsSeen(intent.account_id, (fill_report(intent),), sandbox=True)
    )
    observations.publish(observations.AccountMoved(intent.account_id))


def fill_report(intent: OrderIntent) -> FillReport:
    """Return the one trade of a filled sandbox order."""
    instrument = intent.instrument
    is_maker = intent.type == OrderType.POST_ONLY
    rate = instrument.maker_fee if is_maker else instrument.taker_fee
    assert intent.average_price is not None
    return FillReport(
        venue_symbol=instrument.venue_symbol,
        trade_id=f"sandbox-{intent.client_order_id}",
        venue_order_id=intent.venue_order_id,
        client_order_id=intent.client_order_id,
        side=Side(intent.side),
        amount=BaseAmount(intent.filled_amount),
        price=Price(intent.average_price),
        fee=intent.filled_amount * intent.average_price * rate,
        fee_asset=instrument.quote_asset,
        is_maker=is_maker,
        at=intent.updated_at,
    )


@transaction.atomic
def _position_write(account: ExchangeAccount, instrument: Instrument) -> None:
    # The account's row orders writers, so the last one sees every fill.
    ExchangeAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
    size, entry = simulation.held(_fills(account, instrument))
    Position.objects.update_or_create(
        account=account,
        instrument=instrument,
        sandbox=True,
        defaults={"size": size, "entry_price": entry, "observed_at": timezone.now()},
    )


def _fills(account: ExchangeAccount, instrument: Instrument) -> list[SimulatedFill]:
    return [
        SimulatedFill(Side(intent.side), intent.filled_amount, intent.average_price)
        for intent in _filled(account).filter(instrument=instrument)
        if intent.average_price is not None
    ]


def _filled(account: ExchangeAccount) -> QuerySet[OrderIntent]:
    return (
        OrderIntent.objects.filter(account=account, sandbox=True, filled_amount__gt=0)
        .select_related("instrument")
        .order_by("acknowledged_at", "intent_id")
    )


def _quote(instrument: Instrument) -> QuoteView:
    quote = markets.fresh_quote(instrument, now=timezone.now())
    if quote is None:
        raise VenueRejected("sandbox", f"There is no fresh quote of {instrument}.")
    return quote


def _simulated_report(intent: OrderIntent, outcome: SimulatedOrder) -> OrderReport:
    filled = intent.amount if outcome.status is OrderStatus.FILLED else intent.filled_amount
    return OrderReport(
        venue_symbol=intent.instrument.venue_symbol,
        venue_order_id=f"sandbox-{intent.client_order_id}",
        client_order_id=intent.client_order_id,
        side=Side(intent.side),
        status=outcome.status,
        amount=BaseAmount(intent.amount),
        filled=BaseAmount(filled),
        price=None if intent.price is None else Price(intent.price),
        average_price=None if outcome.price is None else Price(outcome.price),
        reduce_only=intent.reduce_only,
        at=timezone.now(),
    )


def _report(intent: OrderIntent) -> OrderReport:
    status = _STATUS.get(IntentState(intent.state), OrderStatus.OPEN)
    return _simulated_report(intent, SimulatedOrder(status, intent.average_price))


async def _with_rows(read: Callable[[], T]) -> T:
    """Run database work for a coroutine in a thread, with a connection of its own."""
    return await asyncio.to_thread(_connected, read)


def _connected(read: Callable[[], T]) -> T:
    try:
        return read()
    finally:
        connections.close_all()
