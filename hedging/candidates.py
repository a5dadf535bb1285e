"""Which contracts of a book's accounts could carry a hedge, and what planning must know."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from accounts.choices import AccountStatus
from accounts.domain.arming import Reconciled, is_armed
from accounts.domain.headroom import Headroom, Margins, headroom
from accounts.models import ExchangeAccount
from controlplane.base.prepared import prepared
from controlplane.kernel.ids import uuid7_floor
from controlplane.kernel.units import ZERO, BaseAmount, QuoteAmount, Ratio
from hedging.domain.delta import is_known
from hedging.domain.planning import Candidate, Top
from hedging.facts import BookFacts
from markets.domain.venue_status import opening_obstacle
from markets.models import Instrument
from markets.selectors import MarketStanding, instrument_spec
from markets.venue_watch import clock_apart
from markets.venues.types import Side
from strategies.models import OrderIntent
from strategies.moment import Moment

PERCENT: Final = Decimal(100)
REJECTION_REMEMBERED: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Carriers:
    """The accounts of a book, and the contracts in a symbol that each may trade, as rows."""

    accounts: Mapping[str, ExchangeAccount]
    contracts: Mapping[str, Sequence[Instrument]]

    @property
    def instruments(self) -> dict[UUID, Instrument]:
        """Every contract by its id."""
        return {item.pk: item for items in self.contracts.values() for item in items}


def carriers_of(facts: BookFacts, symbol: str) -> Carriers:
    """Return, for every account of the book, its contracts in `symbol`.

    Those it holds, and the one it would open: the first tradable contract of its venue.
    """
    found = {it.pk: it for it in _accounts(account_ids=list(facts.book.account_ids))}
    return Carriers(found, _contracts(facts, found.values(), symbol))


@prepared
def _accounts(account_ids: Any) -> Any:
    accounts = ExchangeAccount.objects.without_keys().filter(pk__any=account_ids)
    return accounts.select_related("exchange", "risk_envelope", "state")


def candidates_of(facts: BookFacts, carriers: Carriers, moment: Moment) -> list[Candidate]:
    """Return what planning must know of each account's contracts."""
    now = moment.now
    markets = moment.markets(
        {(item.venue_id, item.symbol) for item in carriers.instruments.values()}
    )
    may_increase = facts.trading_state().may_increase
    rejected = _rejected(facts, now=now)
    disputed = {
        (item.account_id, item.instrument_id) for item in facts.positions if item.is_disputed
    }
    found = []
    for account in carriers.accounts.values():
        room = _headroom(facts, account, now=now)
        obstacle = _obstacle(facts, account, now=now)
        for instrument in carriers.contracts[account.pk]:
            place = (account.pk, instrument.pk)
            market = markets[instrument.venue_id, instrument.symbol]
            candidate = _candidate(facts, account, instrument, market, may_increase)
            found.append(
                replace(
                    candidate,
                    headroom=room,
                    cannot_increase=obstacle or ("POSITION_DISPUTED" if place in disputed else ""),
                    was_rejected=place in rejected,
                )
            )
    return found


def _obstacle(facts: BookFacts, account: ExchangeAccount, *, now: datetime) -> str:
    """Return the gate's code for what keeps the whole account from adding, blank for nothing."""
    if facts.book.sandbox:
        return ""
    state = account.state
    known = Reconciled(
        at=state.reconciled_at,
        recovery_at=state.recovery_at,
        sync_interval=timedelta(seconds=account.sync_interval_seconds),
    )
    if not is_armed(known, now=now):
        return "ACCOUNT_NOT_RECONCILED"
    venue = account.exchange
    lost = venue.standing.lost(now=now)
    return opening_obstacle(apart=clock_apart(venue, now=now), lost=lost)


def _rejected(facts: BookFacts, *, now: datetime) -> set[tuple[str, UUID]]:
    """Return where the venue has refused an order of ours lately."""
    since = uuid7_floor(now - REJECTION_REMEMBERED)
    ids = list(facts.book.account_ids)
    return set(_refused(since=since, account_ids=ids, sandbox=facts.book.sandbox))


@prepared
def _refused(since: Any, account_ids: Any, sandbox: Any) -> Any:
    rows = OrderIntent.objects.filter(
        intent_id__gte=since,
        account__any=account_ids,
        sandbox=sandbox,
        state="failed",
        claim_fence__gt=0,
    )
    return rows.values_list("account_id", "instrument_id")


def _headroom(facts: BookFacts, account: ExchangeAccount, *, now: datetime) -> Headroom | None:
    """Return what the account may add; None for simulated orders of an account nobody has read."""
    state = account.state
    if facts.book.sandbox and state.equity is None:
        return None
    prices = {seen.symbol: seen.reference for seen in facts.exposures}
    held, coming = ZERO, ZERO
    is_priced = True
    for item in facts.positions:
        if item.account_id == account.pk and item.size:
            price = prices.get(item.symbol) or item.mark
            is_priced = is_priced and price is not None
            held += abs(item.size) * (price or ZERO)
    for order in facts.intents:
        if order.flight.account_id == account.pk:
            coming += order.flight.open_base * (prices.get(order.flight.symbol) or ZERO)
    is_read = is_known(
        state.balance_at,
        now=now,
        sync_interval=timedelta(seconds=account.sync_interval_seconds),
        recovery_at=state.recovery_at,
    )
    return headroom(
        Margins(
            equity=state.equity if is_read else None,
            initial_margin=state.initial_margin if is_read else None,
            held=held if is_priced else None,
            coming=coming,
        ),
        max_leverage=account.risk_envelope.max_leverage,
        utilization_max=account.utilization_target_max,
    )


def _top(market: MarketStanding) -> Top | None:
    """Return the market's best prices: its own, else those made from other venues."""
    if market.top is not None:
        top = market.top
        return Top(top.bid, top.ask, top.bid_size, top.ask_size)
    return None if market.stand_in is None else Top(*market.stand_in)


def _contracts(
    facts: BookFacts, accounts: Iterable[ExchangeAccount], symbol: str
) -> Mapping[str, list[Instrument]]:
    by_venue: dict[str, list[Instrument]] = defaultdict(list)
    venues = {account.exchange_id for account in accounts}
    for instrument in _tradable(venue_ids=list(venues), symbol=symbol):
        by_venue[instrument.venue_id].append(instrument)
    held = {(p.account_id, p.instrument_id) for p in facts.positions if p.size}
    return {
        account.pk: [
            instrument
            for index, instrument in enumerate(by_venue[account.exchange_id])
            if index == 0 or (account.pk, instrument.pk) in held
        ]
        for account in accounts
    }


@prepared
def _tradable(venue_ids: Any, symbol: Any) -> Any:
    listed = Instrument.objects.filter(venue__any=venue_ids, symbol=symbol, is_active=True)
    return listed.usual_first()


def _candidate(
    facts: BookFacts,
    account: ExchangeAccount,
    instrument: Instrument,
    market: MarketStanding,
    may_increase: bool,
) -> Candidate:
    status = AccountStatus(account.status)
    venue_works = any(
        item.account_id == account.pk and item.is_venue_enabled for item in facts.accounts
    )
    flights = [
        item.flight
        for item in facts.intents
        if item.flight.account_id == account.pk and item.instrument_id == instrument.pk
    ]
    return Candidate(
        account_id=account.pk,
        instrument_id=instrument.pk,
        spec=instrument_spec(instrument),
        top=_top(market),
        position=BaseAmount(_position(facts, account.pk, instrument.pk)),
        open_buy=BaseAmount(sum((f.open_base for f in flights if f.side is Side.BUY), ZERO)),
        open_sell=BaseAmount(sum((f.open_base for f in flights if f.side is Side.SELL), ZERO)),
        taker_fee=Ratio(instrument.taker_fee),
        slippage=Ratio(account.risk_envelope.slippage_tolerance / PERCENT),
        max_position_value=QuoteAmount(account.max_position_value),
        may_increase=(
            may_increase and venue_works and status is AccountStatus.ACTIVE and market.may_increase
        ),
        may_reduce=venue_works and status is not AccountStatus.EMERGENCY,
        has_unknown_intent=any(flight.unknown for flight in flights),
    )


def _position(facts: BookFacts, account_id: str, instrument_id: UUID) -> Decimal:
    return next(
        (
            item.size
            for item in facts.positions
            if item.account_id == account_id and item.instrument_id == instrument_id
        ),
        ZERO,
    )
