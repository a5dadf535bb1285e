"""Closing the positions of stopped accounts: ordinary reduce-only orders, each sent once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Sum, When
from django.utils import timezone

from accounts.domain.risk.standing import PERCENT
from accounts.models import ExchangeAccount
from controlplane.base.audit import Actor
from controlplane.kernel.units import ZERO, BaseAmount, Price, Ratio, plain
from hedging.domain.emergency import StopScope
from hedging.domain.flattening import Leg, plan_wave
from hedging.domain.planning import PlannedOrder
from hedging.models import EmergencyStop, StoppedAccount
from markets.models import Instrument
from markets.selectors import instrument_spec, reference_price
from markets.venues.types import OrderType, PositionReport
from strategies import execution, services
from strategies.domain.intent import Submission
from strategies.execution import Answered
from strategies.models import SYSTEM_HEDGE, OrderIntent, StrategyModule

TOGETHER: Final = 60
"""Orders claimed in one transaction: not too many, for a claim that gets old is not sent."""


@dataclass(slots=True)
class Holdings:
    """What a venue says an account holds, as legs to close; `problem` is what forbids closing."""

    legs: list[Leg] = field(default_factory=list)
    problem: str = ""

    @property
    def open(self) -> list[Leg]:
        """The legs that are large enough to trade."""
        return [leg for leg in self.legs if not leg.is_dust]

    def is_closed_by(self, intents: Iterable[OrderIntent]) -> bool:
        """Tell whether orders, by what they filled, have closed every leg that can be traded."""
        filled: dict[UUID, Decimal] = defaultdict(lambda: ZERO)
        for intent in intents:
            filled[intent.instrument_id] += intent.filled_amount
        return not self.problem and all(
            filled[leg.instrument_id] == abs(leg.size) for leg in self.open
        )

    @property
    def is_to_close(self) -> bool:
        """Whether there is something to close, or to be closed by a person."""
        return bool(self.open or self.problem)

    @property
    def residual(self) -> str:
        """What is left and too small to trade, for people."""
        return ", ".join(f"{plain(leg.size)} {leg.symbol}" for leg in self.legs if leg.is_dust)


class Holder:
    """Turns position reports into legs; reads what it needs of the database once."""

    def __init__(self, stop: EmergencyStop, accounts: Mapping[str, ExchangeAccount]) -> None:
        self._accounts = accounts
        venues = {account.exchange_id for account in accounts.values()}
        self._instruments = {
            (instrument.venue_id, instrument.venue_symbol): instrument
            for instrument in Instrument.objects.filter(venue__in=venues)
        }
        self._own = _traded_by(stop) if stop.scope == StopScope.MODULE else None

    def holdings(self, account_id: str, reports: Iterable[PositionReport]) -> Holdings:
        """Return what there is to close; of a module's stop only what the module traded."""
        account, found = self._accounts[account_id], Holdings()
        for report in reports:
            if report.size == 0:
                continue
            instrument = self._instruments.get((account.exchange_id, report.venue_symbol))
            if instrument is None:
                found.problem = f"UNKNOWN_INSTRUMENT {report.venue_symbol}: close it at the venue."
                continue
            size = self._share(account_id, instrument, report.size)
            mark = report.mark_price or reference_price(instrument.symbol, now=timezone.now())
            if size and mark is None:
                found.problem = f"NO_PRICE {report.venue_symbol}: no mark and no fresh reference."
            elif size and mark is not None:
                found.legs.append(leg_of(account, instrument, BaseAmount(size), Price(mark)))
        return found

    def _share(self, account_id: str, instrument: Instrument, size: Decimal) -> Decimal:
        """Return how much of a position the stop covers, never more than there is; signed base."""
        if self._own is None:
            return size
        own = self._own.get((account_id, instrument.pk), ZERO)
        return ZERO if own * size <= 0 else min(own, size, key=abs)


def leg_of(account: ExchangeAccount, instrument: Instrument, size: BaseAmount, mark: Price) -> Leg:
    """Return a position as a leg to close; `size` is signed, `mark` the venue's price of it."""
    return Leg(
        account_id=account.pk,
        instrument_id=instrument.pk,
        symbol=instrument.symbol,
        spec=instrument_spec(instrument),
        size=size,
        mark=mark,
        slippage=Ratio(account.risk_envelope.slippage_tolerance / PERCENT),
    )


def _traded_by(stop: EmergencyStop) -> Mapping[tuple[str, object], Decimal]:
    """Return the net signed base that the stopped module's orders have traded."""
    signed = Case(When(side="buy", then=F("filled_amount")), default=-F("filled_amount"))
    rows = OrderIntent.objects.live().filter(module=stop.target, filled_amount__gt=0).order_by()
    sums = rows.values_list("account_id", "instrument_id").annotate(net=Sum(signed))
    return {(account_id, instrument_id): net for account_id, instrument_id, net in sums}


@transaction.atomic
def wave_write(
    stop: EmergencyStop,
    rows: Sequence[StoppedAccount],
    holdings: Mapping[str, Holdings],
    actor: Actor,
) -> Sequence[OrderIntent]:
    """Write the next orders of every book; nothing is sent.

    Accounts with an order of a wave before that has not ended sit this one out, and so does the
    whole of their book: the sizes just read may not have it.
    """
    by_book: dict[str, list[StoppedAccount]] = defaultdict(list)
    for row in rows:
        by_book[row.book].append(row)
    busy = _busy(stop, [row.account_id for row in rows], actor)
    planned: list[PlannedOrder] = []
    for members in by_book.values():
        names = [row.account_id for row in members]
        if not busy.intersection(names):
            planned += plan_wave(leg for name in names for leg in holdings[name].legs)
    is_module = stop.scope == StopScope.MODULE
    module = StrategyModule.objects.get(pk=stop.target if is_module else SYSTEM_HEDGE)
    accounts = {row.account_id: row.account for row in rows}
    return orders_write(planned, accounts, module=module, reason=_mark(stop), actor=actor)


def _busy(stop: EmergencyStop, names: Sequence[str], actor: Actor) -> set[str]:
    going = OrderIntent.objects.live().filter(account__in=names, reduce_only=True)
    going = going.filter(reason=_mark(stop)).exclude(submission=Submission.UNKNOWN).in_flight()
    for left in going.filter(state="pending"):  # by a driver that died: these accounts are ours
        services.intent_withdraw(intent=left, reason=_mark(stop), actor=actor)
    return set(going.order_by().values_list("account_id", flat=True))


def orders_write(
    planned: Sequence[PlannedOrder],
    accounts: Mapping[str, ExchangeAccount],
    *,
    module: StrategyModule,
    reason: str,
    actor: Actor,
) -> list[OrderIntent]:
    """Write planned orders as intents of `module`, immediate-or-cancel; nothing is sent."""
    instruments = Instrument.objects.in_bulk([order.instrument_id for order in planned])
    drafts = [
        services.intent_draft(
            module=module,
            account=accounts[order.account_id],
            instrument=instruments[order.instrument_id],
            side=order.side,
            type=OrderType.IOC,
            amount=order.amount,
            price=order.price,
            reduce_only=order.reduce_only,
            sandbox=False,
            reason=reason,
        )
        for order in planned
    ]
    return list(services.intents_write(drafts, actor=actor))


def _mark(stop: EmergencyStop) -> str:
    return f"emergency stop {stop.pk}"


def wave_send(
    intents: Sequence[OrderIntent], actor: Actor, *, answered: Answered
) -> Sequence[OrderIntent]:
    """Send the orders of a wave side by side, each at most once; return them as they ended.

    Those of one venue are claimed and settled together, the next venue's while they travel. All
    of an account's are in one share: `answered` is told of it before it is recorded.
    """
    return execution.shares_submit(shares=_shares(intents), actor=actor, answered=answered)


def _shares(intents: Iterable[OrderIntent]) -> list[list[OrderIntent]]:
    by_account: dict[tuple[str, str], list[OrderIntent]] = defaultdict(list)
    for intent in intents:
        by_account[intent.account.exchange_id, intent.account_id].append(intent)
    shares: list[list[OrderIntent]] = []
    last = ""
    for (venue_id, _), orders in sorted(by_account.items(), key=lambda it: it[0]):
        if venue_id != last or len(shares[-1]) + len(orders) > TOGETHER:
            shares.append([])
        shares[-1] += orders
        last = venue_id
    return shares
