"""Pacifica's answers as our reports: strict, exact, and only about what was asked."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio, plain
from markets.venues import checks
from markets.venues.checks import BadAnswer, decode
from markets.venues.lines import Line, read_lines, transfer
from markets.venues.pacifica import facts, ids, wire
from markets.venues.reports import order_report, top_of_book
from markets.venues.types import (
    BalanceReport,
    BookTop,
    FillReport,
    FundingPayment,
    FundingQuote,
    FundingSettlement,
    InstrumentReport,
    MarginMode,
    MarginTerms,
    OrderReport,
    OrderStatus,
    PositionReport,
    Transfer,
)

MAKER_EVENT: Final = "fulfill_maker"
_BOOKED_ELSEWHERE: Final = frozenset(
    {"trade", "market_liquidation", "backstop_liquidation", "adl_liquidation", "funding"}
)
_TRANSFERS: Final = frozenset(
    {"deposit", "deposit_release", "withdraw", "subaccount_transfer", "payout"}
    | {"rebate", "cashback", "referral", "airdrop"}
)
"""Kinds of balance events: the vendor's list, and what ccxt 4.5.90 knows besides."""
_PERPETUAL: Final = "perpetual"

logger = logging.getLogger(__name__)


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A page of a history, newest first, and where the next one starts (None: nowhere)."""

    rows: Sequence[Row]
    cursor: str | None


def _page(envelope: wire.Envelope[Any], rows: Sequence[Row]) -> Page[Row]:
    if envelope.has_more and not envelope.next_cursor:
        raise BadAnswer("no-cursor", "there is more, and no way to it")
    return Page(rows, envelope.next_cursor if envelope.has_more else None)


class OrderTerms(NamedTuple):
    """What both lists of orders and the stream tell of one order, in the venue's own words."""

    order_id: int
    client_id: str | None
    symbol: str
    side: str
    amount: str
    filled: str
    price: str
    average: str | None
    status: str
    reduce_only: bool
    at_ms: int


# Public data


def instruments(body: bytes) -> Sequence[InstrumentReport]:
    """Return the perpetuals; one that cannot be read is left out and logged."""
    reports = []
    for row in decode(body, wire.Envelope[list[wire.MarketRow]]).data:
        if row.instrument_type != _PERPETUAL:
            continue
        try:
            reports.append(_instrument(row))
        except BadAnswer as error:
            logger.warning("Instrument %s is left out: %s", row.symbol[:40], error)
    return reports


def _instrument(row: wire.MarketRow) -> InstrumentReport:
    lot = BaseAmount(checks.positive(row.lot_size, "lot_size"))
    return InstrumentReport(
        venue_symbol=row.symbol,
        base=row.base_asset or row.symbol,
        quote=facts.SETTLEMENT_ASSET,
        contract_size=facts.CONTRACT_SIZE,
        tick=checks.positive(row.tick_size, "tick_size"),
        lot=lot,
        min_qty=lot,
        max_qty=None,  # the venue's largest order is a notional, as its smallest is
        max_market_qty=None,
        min_notional=QuoteAmount(checks.unsigned(row.min_order_size, "min_order_size")),
        max_leverage=Decimal(row.max_leverage),
        maker_fee=facts.MAKER_FEE,
        taker_fee=facts.TAKER_FEE,
        is_active=True,
    )


def book_top(body: bytes, *, symbol: str) -> BookTop:
    row = decode(body, wire.Envelope[wire.BookRow]).data
    checks.same("symbol", row.s, symbol)
    bids, asks = row.l
    if not bids or not asks:
        raise BadAnswer("one-sided", symbol)
    return top_of_book(
        symbol, bids[0].p, bids[0].a, asks[0].p, asks[0].a, at_ms=row.t, sequence=row.li
    )


def funding_quotes(body: bytes) -> Sequence[FundingQuote]:
    """Read the prices. `next_funding` is the estimate of what the coming full hour settles."""
    quotes = []
    for row in decode(body, wire.Envelope[list[wire.PriceRow]]).data:
        try:
            quotes.append(_funding_quote(row))
        except BadAnswer as error:
            logger.warning("The funding of %s is left out: %s", row.symbol[:40], error)
    return quotes


def _funding_quote(row: wire.PriceRow) -> FundingQuote:
    at = checks.moment(row.timestamp, "timestamp")
    return FundingQuote(
        venue_symbol=row.symbol,
        rate=Ratio(checks.number(row.next_funding, "next_funding")),
        mark_price=Price(checks.positive(row.mark, "mark")),
        next_funding_at=next_hour(at),
        interval_hours=facts.FUNDING_HOURS,
        at=at,
    )


def funding_settlements(body: bytes, *, venue_symbol: str) -> Page[FundingSettlement]:
    """Read `funding_rate/history`, newest first.

    `funding_rate` is the rate of the hour in which the row was written, settled as that hour
    began ("Get historical funding"; the row's own time is not a full hour). The oracle's price
    is told, not the mark.
    """
    found = decode(body, wire.Envelope[list[wire.FundingRateRow]])
    rows = [
        FundingSettlement(
            venue_symbol=venue_symbol,
            rate=Ratio(checks.number(row.funding_rate, "funding_rate")),
            mark_price=None,
            at=this_hour(checks.moment(row.created_at, "created_at")),
        )
        for row in found.data
    ]
    return _page(found, rows)


def this_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def next_hour(at: datetime) -> datetime:
    return this_hour(at) + timedelta(hours=1)


# One account


def balance(body: bytes, *, at: datetime) -> BalanceReport:
    row = decode(body, wire.Envelope[wire.AccountRow]).data
    return BalanceReport(
        asset=facts.SETTLEMENT_ASSET,
        equity=QuoteAmount(checks.number(row.account_equity, "account_equity")),
        wallet_balance=QuoteAmount(checks.number(row.balance, "balance")),
        available=QuoteAmount(checks.number(row.available_to_spend, "available_to_spend")),
        initial_margin=QuoteAmount(checks.unsigned(row.total_margin_used, "total_margin_used")),
        maintenance_margin=QuoteAmount(checks.unsigned(row.cross_mmr, "cross_mmr")),
        at=at,
    )


def margin_terms(body: bytes, *, venue_symbol: str) -> MarginTerms | None:
    """Read a contract's terms; None where they are the venue's defaults, which it does not list."""
    rows = decode(body, wire.Envelope[list[wire.SettingRow]]).data
    for row in rows:
        if row.symbol == venue_symbol:
            if row.leverage < 1:
                raise BadAnswer("not-positive", f"leverage is {row.leverage}")
            mode = MarginMode.ISOLATED if row.isolated else MarginMode.CROSS
            return MarginTerms(venue_symbol, Decimal(row.leverage), mode)
    return None


def default_terms(body: bytes, *, venue_symbol: str) -> MarginTerms:
    """Return what holds unless it is set: cross margin, the contract's highest leverage."""
    for report in instruments(body):
        if report.venue_symbol == venue_symbol:
            return MarginTerms(venue_symbol, report.max_leverage, MarginMode.CROSS)
    raise BadAnswer("missing-symbol", venue_symbol)


def positions(body: bytes, *, at: datetime) -> Sequence[PositionReport]:
    return [
        position(row.symbol, row.side, row.amount, row.entry_price, row.liquidation_price, at=at)
        for row in decode(body, wire.Envelope[list[wire.PositionRow]]).data
        if checks.unsigned(row.amount, "amount")
    ]


def position(
    symbol: str, side: str, amount: str, entry: str, liquidation: str | None, *, at: datetime
) -> PositionReport:
    """The venue tells no mark, profit or margin of a position."""
    sign = wire.side(side).sign
    return PositionReport(
        venue_symbol=symbol,
        size=BaseAmount(sign * checks.unsigned(amount, "amount")),
        entry_price=checks.price_or_none(entry, "entry_price"),
        mark_price=None,
        unrealized_pnl=None,
        liquidation_price=checks.price_or_none(liquidation or "0", "liquidation_price"),
        initial_margin=None,
        at=at,
    )


def open_orders(body: bytes) -> Sequence[OrderReport]:
    return [
        order(
            OrderTerms(
                row.order_id,
                row.client_order_id,
                row.symbol,
                row.side,
                row.initial_amount,
                row.filled_amount,
                row.price,
                None,
                "open",
                row.reduce_only,
                row.updated_at,
            )
        )
        for row in decode(body, wire.Envelope[list[wire.OpenOrderRow]]).data
    ]


def past_orders(body: bytes) -> Page[wire.PastOrderRow]:
    found = decode(body, wire.Envelope[list[wire.PastOrderRow]])
    return _page(found, found.data)


def past_order(row: wire.PastOrderRow) -> OrderReport:
    return order(
        OrderTerms(
            row.order_id,
            row.client_order_id,
            row.symbol,
            row.side,
            row.amount,
            row.filled_amount,
            row.initial_price,
            row.average_filled_price,
            row.order_status,
            row.reduce_only,
            row.updated_at,
        )
    )


def order(terms: OrderTerms) -> OrderReport:
    status = wire.status(terms.status)
    if status is OrderStatus.OPEN and checks.unsigned(terms.filled, "filled"):
        status = OrderStatus.PARTIALLY_FILLED  # the list of open orders knows but one status
    return order_report(
        symbol=terms.symbol,
        order_id=terms.order_id,
        client_id=ids.from_venue(terms.client_id),
        side=wire.side(terms.side),
        status=status,
        amount=terms.amount,
        filled=terms.filled,
        price=terms.price,
        average=terms.average,
        reduce_only=terms.reduce_only,
        at_ms=terms.at_ms,
    )


def fills(body: bytes, *, venue_symbol: str | None) -> Page[FillReport]:
    """Read a page of trades: of one contract, or, where none was asked for, of any."""
    found = decode(body, wire.Envelope[list[wire.TradeRow]])
    reports = []
    for row in found.data:
        if venue_symbol is not None:
            checks.same("symbol", row.symbol, venue_symbol)
        reports.append(
            fill(
                wire.TradeUpdateRow(
                    h=row.history_id,
                    i=row.order_id,
                    I=row.client_order_id,
                    s=row.symbol,
                    p=row.price,
                    a=row.amount,
                    te=row.event_type,
                    ts=row.side,
                    f=row.fee,
                    t=row.created_at,
                    li=0,
                )
            )
        )
    return _page(found, reports)


def fill(row: wire.TradeUpdateRow) -> FillReport:
    if row.h <= 0 or row.i <= 0:
        raise BadAnswer("bad-id", f"{row.h}/{row.i}")
    return FillReport(
        venue_symbol=row.s,
        trade_id=str(row.h),
        venue_order_id=str(row.i),
        client_order_id=ids.from_venue(row.I) or None,
        side=wire.trade_side(row.ts),
        amount=BaseAmount(checks.positive(row.a, "amount")),
        price=Price(checks.positive(row.p, "price")),
        fee=checks.number(row.f, "fee"),
        fee_asset=facts.SETTLEMENT_ASSET,
        is_maker=row.te == MAKER_EVENT,
        at=checks.moment(row.t, "created_at"),
    )


def payments(body: bytes) -> Page[FundingPayment]:
    found = decode(body, wire.Envelope[list[wire.FundingRow]])
    rows = [
        FundingPayment(
            venue_symbol=row.symbol,
            payment_id=str(row.history_id),
            amount=QuoteAmount(checks.number(row.payout, "payout")),
            asset=facts.SETTLEMENT_ASSET,
            at=checks.moment(row.created_at, "created_at"),
        )
        for row in found.data
    ]
    return _page(found, rows)


def balance_events(body: bytes, *, now_ms: int) -> Page[Line]:
    """Return a page of an account's balance history; trades and funding say nothing here.

    A kind that the vendor does not list is quarantined: whether trades are the record of it, or
    nothing is, cannot be told ("Get account balance history").
    """
    found = decode(body, wire.Envelope[list[msgspec.Raw]])
    return _page(found, read_lines(found.data, _balance_event, now_ms=now_ms))


def _balance_event(raw: msgspec.Raw) -> tuple[datetime, Transfer | None]:
    row = decode(bytes(raw), wire.BalanceEventRow)
    at = checks.moment(row.created_at, "created_at")
    if row.event_type in _BOOKED_ELSEWHERE:
        return at, None
    if row.event_type not in _TRANSFERS:
        raise BadAnswer("unknown-kind", row.event_type)
    # Two events of one kind, amount and millisecond leave different balances.
    amount, balance = (plain(checks.number(text, "amount")) for text in (row.amount, row.balance))
    return at, transfer(
        transfer_id=f"{row.created_at}/{amount}/{balance}",
        kind=row.event_type,
        amount=row.amount,
        asset=facts.SETTLEMENT_ASSET,
        at=at,
    )


def accepted(body: bytes) -> str:
    """Return the venue's id of an order it has accepted; raises BadAnswer."""
    order_id = decode(body, wire.Envelope[wire.Accepted]).data.order_id
    if order_id <= 0:
        raise BadAnswer("bad-id", str(order_id))
    return str(order_id)
