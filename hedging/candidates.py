"""Which contracts of a book's accounts could carry a hedge, and what planning must know."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from accounts.choices import AccountStatus
from accounts.models import ExchangeAccount
from controlplane.kernel.units import ZERO, BaseAmount, QuoteAmount, Ratio
from hedging.domain.planning import Candidate, Top
from hedging.facts import BookFacts
from markets.models import Instrument
from markets.selectors import MarketStanding, instrument_spec, market_standing
from markets.venues.types import Side

PERCENT: Final = Decimal(100)


def candidates_of(facts: BookFacts, symbol: str, *, now: datetime) -> list[Candidate]:
    """Return, for every account of the book, its contracts in `symbol`.

    Those it holds, and the one it would open: the first tradable contract of its venue.
    """
    accounts = ExchangeAccount.objects.select_related("risk_envelope").in_bulk(
        list(facts.book.account_ids)
    )
    instruments = _instruments(facts, accounts.values(), symbol)
    wanted = {item.pk: item for items in instruments.values() for item in items}
    markets = {pk: market_standing(instrument, now=now) for pk, instrument in wanted.items()}
    may_increase = facts.trading_state().may_increase
    found = []
    for account in accounts.values():
        for instrument in instruments[account.pk]:
            found.append(
                _candidate(facts, account, instrument, markets[instrument.pk], may_increase)
            )
    return found


def _top(market: MarketStanding) -> Top | None:
    """Return the market's best prices: its own, else those made from other venues."""
    if market.top is not None:
        return Top(market.top.bid, market.top.ask)
    return None if market.stand_in is None else Top(*market.stand_in)


def _instruments(
    facts: BookFacts, accounts: Iterable[ExchangeAccount], symbol: str
) -> Mapping[str, list[Instrument]]:
    venues = {account.exchange_id for account in accounts}
    by_venue: dict[str, list[Instrument]] = defaultdict(list)
    for venue_id in venues:
        by_venue[venue_id] = list(Instrument.objects.tradable(venue_id=venue_id, symbol=symbol))
    held = {
        (p.account_id, p.instrument_id) for p in facts.positions if p.symbol == symbol and p.size
    }
    return {
        account.pk: [
            instrument
            for index, instrument in enumerate(by_venue[account.exchange_id])
            if index == 0 or (account.pk, instrument.pk) in held
        ]
        for account in accounts
    }


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
