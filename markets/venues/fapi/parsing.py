"""/fapi answers as our reports: strict, exact, and only about what was asked."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio
from markets.venues import checks
from markets.venues.checks import BadAnswer
from markets.venues.fapi import wire
from markets.venues.lines import Line, read_lines, transfer
from markets.venues.reports import order_report, top_of_book
from markets.venues.types import (
    BalanceReport,
    BookTop,
    FillReport,
    FundingPayment,
    FundingQuote,
    FundingSettlement,
    InstrumentReport,
    MarginTerms,
    OrderReport,
    OrderType,
    PositionMode,
    PositionReport,
    SubmitOrder,
    Transfer,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fees:
    """A venue's regular tier as ratios of notional; an account's own may be lower."""

    maker: Ratio
    taker: Ratio


CONTRACT_SIZE: Final = Decimal(1)
"""Quantities are in the base asset (Binance: "USDⓈ-M Futures, Contract Specifications"; Aster:
"Terminology"), so this is the venues' definition and not a default for a missing field."""
USUAL_FUNDING_HOURS: Final = 8
_BOOKED_ELSEWHERE: Final = frozenset({"REALIZED_PNL", "COMMISSION", "FUNDING_FEE"})
"""Income that trades and funding payments are the record of. Every other type moves the wallet by
itself: TRANSFER, INTERNAL_TRANSFER, INSURANCE_CLEAR, rebates, bonuses (Binance and Aster: "Get
Income History"; `tranId` is unique among those of one type)."""
_PERPETUALS: Final = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})


def server_ms(body: bytes) -> int:
    return checks.clock_ms(checks.decode(body, wire.ServerTime).serverTime, "serverTime")


# Public data


def instruments(body: bytes, *, fees: Fees) -> Sequence[InstrumentReport]:
    """Return the linear perpetuals; one that cannot be read is left out and logged."""
    reports = []
    for row in checks.decode(body, wire.ExchangeInfo).symbols:
        if row.contractType not in _PERPETUALS or row.marginAsset != row.quoteAsset:
            continue
        try:
            reports.append(_instrument(row, fees))
        except BadAnswer as error:
            logger.warning("Instrument %s is left out: %s", row.symbol[:40], error)
    return reports


def _instrument(row: wire.SymbolRow, fees: Fees) -> InstrumentReport:
    filters = {item.get("filterType"): item for item in row.filters}
    price = _filter(filters, "PRICE_FILTER")
    lots = _filter(filters, "LOT_SIZE")
    notional = _filter(filters, "MIN_NOTIONAL")
    market_lots = filters.get("MARKET_LOT_SIZE")
    return InstrumentReport(
        venue_symbol=row.symbol,
        base=row.baseAsset,
        quote=row.quoteAsset,
        contract_size=CONTRACT_SIZE,
        tick=checks.positive(_text(price, "tickSize"), "tickSize"),
        lot=BaseAmount(checks.positive(_text(lots, "stepSize"), "stepSize")),
        min_qty=BaseAmount(checks.unsigned(_text(lots, "minQty"), "minQty")),
        max_qty=BaseAmount(checks.positive(_text(lots, "maxQty"), "maxQty")),
        max_market_qty=None
        if market_lots is None
        else BaseAmount(checks.positive(_text(market_lots, "maxQty"), "maxQty")),
        min_notional=QuoteAmount(checks.unsigned(_text(notional, "notional"), "notional")),
        max_leverage=None,
        maker_fee=fees.maker,
        taker_fee=fees.taker,
        is_active=row.status == "TRADING",
    )


def _filter(filters: dict[Any, dict[str, Any]], kind: str) -> dict[str, Any]:
    found = filters.get(kind)
    if found is None:
        raise BadAnswer("missing-filter", kind)
    return found


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise BadAnswer("malformed", f"{name} is {value!r}")
    return value


def book_tops(body: bytes, *, wanted: Sequence[str]) -> Sequence[BookTop]:
    """Return the tops of the wanted symbols; raises BadAnswer when one is missing or unsound."""
    found = {row.symbol: row for row in checks.decode(body, list[wire.BookTopRow])}
    missing = [symbol for symbol in wanted if symbol not in found]
    if missing:
        raise BadAnswer("missing-symbol", ", ".join(missing))
    return [_book_top(found[symbol]) for symbol in wanted]


def book_top(body: bytes, *, symbol: str) -> BookTop:
    row = checks.decode(body, wire.BookTopRow)
    checks.same("symbol", row.symbol, symbol)
    return _book_top(row)


def _book_top(row: wire.BookTopRow) -> BookTop:
    return top_of_book(
        row.symbol,
        row.bidPrice,
        row.bidQty,
        row.askPrice,
        row.askQty,
        at_ms=row.time,
        sequence=row.lastUpdateId,
    )


def funding_quotes(premium: bytes, info: bytes) -> Sequence[FundingQuote]:
    """Join premiumIndex with the intervals of fundingInfo, which lists only unusual ones.

    Contracts without funding (dated futures show no next time) are left out, and so is one that
    cannot be read, which is logged.
    """
    hours = {
        row.symbol: row.fundingIntervalHours
        for row in checks.decode(info, list[wire.FundingInfoRow])
    }
    quotes = []
    for row in checks.decode(premium, list[wire.PremiumRow]):
        if row.nextFundingTime <= 0 or not row.lastFundingRate:
            continue
        try:
            quotes.append(_funding_quote(row, hours.get(row.symbol, USUAL_FUNDING_HOURS)))
        except BadAnswer as error:
            logger.warning("The funding of %s is left out: %s", row.symbol[:40], error)
    return quotes


def _funding_quote(row: wire.PremiumRow, hours: int) -> FundingQuote:
    return FundingQuote(
        venue_symbol=row.symbol,
        rate=Ratio(checks.number(row.lastFundingRate, "lastFundingRate")),
        mark_price=Price(checks.positive(row.markPrice, "markPrice")),
        next_funding_at=checks.moment(row.nextFundingTime, "nextFundingTime"),
        interval_hours=hours,
        at=checks.moment(row.time, "time"),
    )


def funding_settlements(body: bytes, *, venue_symbol: str) -> Sequence[FundingSettlement]:
    """Read fundingRate; a time may be some milliseconds past the settlement."""
    settlements = []
    for row in checks.decode(body, list[wire.FundingRateRow]):
        checks.same("symbol", row.symbol, venue_symbol)
        settlements.append(
            FundingSettlement(
                venue_symbol=row.symbol,
                rate=Ratio(checks.number(row.fundingRate, "fundingRate")),
                mark_price=checks.price_or_none(row.markPrice or "0", "markPrice"),
                at=checks.moment(row.fundingTime, "fundingTime"),
            )
        )
    return settlements


# One account


def balance(body: bytes, *, asset: str, at: datetime) -> BalanceReport:
    """Read an account; its totals are in USD terms over all margin assets."""
    row = checks.decode(body, wire.AccountRow)
    return BalanceReport(
        asset=asset,
        equity=QuoteAmount(checks.number(row.totalMarginBalance, "totalMarginBalance")),
        wallet_balance=QuoteAmount(checks.number(row.totalWalletBalance, "totalWalletBalance")),
        available=QuoteAmount(checks.number(row.availableBalance, "availableBalance")),
        initial_margin=QuoteAmount(checks.unsigned(row.totalInitialMargin, "totalInitialMargin")),
        maintenance_margin=QuoteAmount(checks.unsigned(row.totalMaintMargin, "totalMaintMargin")),
        at=at,
    )


def positions(body: bytes, *, at: datetime) -> Sequence[PositionReport]:
    """Read positionRisk: positions only, symbols with nothing but orders left out.

    Raises BadAnswer for an account in hedge mode, whose two-sided rows we do not net.
    """
    reports = []
    for row in checks.decode(body, list[wire.PositionRow]):
        size = checks.number(row.positionAmt, "positionAmt")
        if size == 0:
            continue
        if row.positionSide != "BOTH":
            raise BadAnswer("hedge-mode", f"{row.symbol} {row.positionSide}")
        reports.append(
            PositionReport(
                venue_symbol=row.symbol,
                size=BaseAmount(size),
                entry_price=checks.price_or_none(row.entryPrice, "entryPrice"),
                mark_price=checks.price_or_none(row.markPrice, "markPrice"),
                unrealized_pnl=QuoteAmount(checks.number(row.unRealizedProfit, "unRealizedProfit")),
                liquidation_price=checks.price_or_none(row.liquidationPrice, "liquidationPrice"),
                initial_margin=None
                if row.initialMargin is None
                else QuoteAmount(checks.unsigned(row.initialMargin, "initialMargin")),
                at=at,
            )
        )
    return reports


def order(body: bytes, *, venue_symbol: str, client_order_id: str) -> OrderReport:
    """Read one order; raises BadAnswer when it is not the one asked for."""
    report = past_or_open(checks.decode(body, wire.OrderRow))
    checks.same("symbol", report.venue_symbol, venue_symbol)
    checks.same("client order id", report.client_order_id, client_order_id)
    return report


def orders(body: bytes) -> Sequence[OrderReport]:
    return [past_or_open(row) for row in checks.decode(body, list[wire.OrderRow])]


def acknowledged(body: bytes, command: SubmitOrder) -> OrderReport:
    """Return the venue's echo of our own order; raises BadAnswer when anything differs."""
    report = order(body, venue_symbol=command.venue_symbol, client_order_id=command.client_order_id)
    checks.same("side", report.side, command.side)
    checks.same("amount", report.amount, command.amount)
    checks.same("reduce-only", report.reduce_only, command.reduce_only)
    if command.type is not OrderType.MARKET:
        checks.same("price", report.price, command.price)
    return report


def past_or_open(row: wire.OrderRow) -> OrderReport:
    return order_report(
        symbol=row.symbol,
        order_id=row.orderId,
        client_id=row.clientOrderId,
        side=wire.side(row.side),
        status=wire.status(row.status),
        amount=row.origQty,
        filled=row.executedQty,
        price=row.price,
        average=row.avgPrice,
        reduce_only=row.reduceOnly,
        at_ms=row.updateTime,
    )


def fills(body: bytes, *, venue_symbol: str) -> Sequence[FillReport]:
    return [_fill(row, venue_symbol) for row in checks.decode(body, list[wire.TradeRow])]


def _fill(row: wire.TradeRow, venue_symbol: str) -> FillReport:
    checks.same("symbol", row.symbol, venue_symbol)
    if row.id <= 0 or row.orderId <= 0:
        raise BadAnswer("bad-id", f"{row.id}/{row.orderId}")
    return FillReport(
        venue_symbol=row.symbol,
        trade_id=str(row.id),
        venue_order_id=str(row.orderId),
        client_order_id=None,
        side=wire.side(row.side),
        amount=BaseAmount(checks.positive(row.qty, "qty")),
        price=Price(checks.positive(row.price, "price")),
        fee=checks.number(row.commission, "commission"),
        fee_asset=row.commissionAsset,
        is_maker=row.maker,
        at=checks.moment(row.time, "time"),
    )


def funding_payments(body: bytes) -> Sequence[FundingPayment]:
    return [
        FundingPayment(
            venue_symbol=row.symbol,
            payment_id=str(row.tranId),
            amount=QuoteAmount(checks.number(row.income, "income")),
            asset=row.asset,
            at=checks.moment(row.time, "time"),
        )
        for row in checks.decode(body, list[wire.IncomeRow])
        if row.incomeType == "FUNDING_FEE"
    ]


def ledger(body: bytes, *, now_ms: int) -> Sequence[Line]:
    """Return an income history's lines; those of trades, fees and funding say nothing here."""
    return read_lines(checks.decode(body, list[msgspec.Raw]), _ledger_line, now_ms=now_ms)


def _ledger_line(raw: msgspec.Raw) -> tuple[datetime, Transfer | None]:
    row = checks.decode(bytes(raw), wire.LedgerRow)
    at = checks.moment(row.time, "time")
    if row.incomeType in _BOOKED_ELSEWHERE:
        return at, None
    return at, transfer(
        transfer_id=str(row.tranId),
        kind=row.incomeType,
        amount=row.income,
        asset=row.asset,
        at=at,
    )


def margin_terms(body: bytes, *, venue_symbol: str) -> MarginTerms:
    """Read a contract's terms; raises BadAnswer for two-sided rows, as in hedge mode."""
    rows = checks.decode(body, list[wire.TermsRow])
    if len(rows) != 1 or rows[0].positionSide != "BOTH":
        raise BadAnswer("hedge-mode" if rows else "missing-symbol", venue_symbol)
    [row] = rows
    checks.same("symbol", row.symbol, venue_symbol)
    if row.leverage < 1:
        raise BadAnswer("not-positive", f"leverage is {row.leverage}")
    return MarginTerms(row.symbol, Decimal(row.leverage), wire.margin_mode(row.marginType))


def position_mode(body: bytes) -> PositionMode:
    is_hedged = checks.decode(body, wire.PositionModeRow).dualSidePosition
    return PositionMode.HEDGE if is_hedged else PositionMode.ONE_WAY


def done(body: bytes) -> None:
    """Raise BadAnswer unless the venue says that something is done."""
    if str(checks.decode(body, wire.Done).code) != "200":
        raise BadAnswer("malformed", "it was not confirmed")


def leverage_set(body: bytes, *, venue_symbol: str, leverage: int) -> None:
    row = checks.decode(body, wire.LeverageRow)
    checks.same("symbol", row.symbol, venue_symbol)
    checks.same("leverage", row.leverage, leverage)


def timer_set(body: bytes, *, venue_symbol: str, milliseconds: int) -> None:
    row = checks.decode(body, wire.TimerRow)
    checks.same("symbol", row.symbol, venue_symbol)
    checks.same("countdownTime", row.countdownTime, milliseconds)
