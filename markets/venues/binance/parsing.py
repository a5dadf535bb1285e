"""Binance USDⓈ-M's answers as our reports: strict, exact, and only about what was asked."""

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio
from markets.venues.binance import wire
from markets.venues.binance.wire import BadAnswer
from markets.venues.types import (
    BalanceReport,
    BookTop,
    FillReport,
    FundingPayment,
    FundingQuote,
    InstrumentReport,
    OrderReport,
    OrderStatus,
    OrderType,
    PositionReport,
    SubmitOrder,
)

logger = logging.getLogger(__name__)

CONTRACT_SIZE: Final = Decimal(1)
"""USDⓈ-M quantities are in the base asset (vendor: "USDⓈ-M Futures, Contract Specifications"), so
this is the venue's definition and not a default for a missing field."""
MAKER_FEE: Final = Decimal("0.0002")
TAKER_FEE: Final = Decimal("0.0005")
"""The regular tier, as ccxt 4.5.90 lists it for linear contracts; an account's own may be lower."""
USUAL_FUNDING_HOURS: Final = 8
_PERPETUALS: Final = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})


def server_ms(body: bytes) -> int:
    return wire.clock_ms(wire.decode(body, wire.ServerTime).serverTime, "serverTime")


# Public data


def instruments(body: bytes) -> Sequence[InstrumentReport]:
    """Return the linear perpetuals; one that cannot be read is left out and logged."""
    reports = []
    for row in wire.decode(body, wire.ExchangeInfo).symbols:
        if row.contractType not in _PERPETUALS or row.marginAsset != row.quoteAsset:
            continue
        try:
            reports.append(_instrument(row))
        except BadAnswer as error:
            logger.warning("Instrument %s is left out: %s", row.symbol[:40], error)
    return reports


def _instrument(row: wire.SymbolRow) -> InstrumentReport:
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
        tick=wire.positive(_text(price, "tickSize"), "tickSize"),
        lot=BaseAmount(wire.positive(_text(lots, "stepSize"), "stepSize")),
        min_qty=BaseAmount(wire.unsigned(_text(lots, "minQty"), "minQty")),
        max_qty=BaseAmount(wire.positive(_text(lots, "maxQty"), "maxQty")),
        max_market_qty=None
        if market_lots is None
        else BaseAmount(wire.positive(_text(market_lots, "maxQty"), "maxQty")),
        min_notional=QuoteAmount(wire.unsigned(_text(notional, "notional"), "notional")),
        max_leverage=None,
        maker_fee=Ratio(MAKER_FEE),
        taker_fee=Ratio(TAKER_FEE),
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
    found = {row.symbol: row for row in wire.decode(body, list[wire.BookTopRow])}
    missing = [symbol for symbol in wanted if symbol not in found]
    if missing:
        raise BadAnswer("missing-symbol", ", ".join(missing))
    return [_book_top(found[symbol]) for symbol in wanted]


def book_top(body: bytes, *, symbol: str) -> BookTop:
    row = wire.decode(body, wire.BookTopRow)
    _same("symbol", row.symbol, symbol)
    return _book_top(row)


def _book_top(row: wire.BookTopRow) -> BookTop:
    bid, ask = wire.positive(row.bidPrice, "bidPrice"), wire.positive(row.askPrice, "askPrice")
    if bid >= ask:
        raise BadAnswer("crossed", f"{row.symbol} {row.bidPrice}/{row.askPrice}")
    return BookTop(
        venue_symbol=row.symbol,
        bid=Price(bid),
        bid_size=wire.positive(row.bidQty, "bidQty"),
        ask=Price(ask),
        ask_size=wire.positive(row.askQty, "askQty"),
        venue_ms=wire.clock_ms(row.time, "time"),
        sequence=row.lastUpdateId,
    )


def funding_quotes(premium: bytes, info: bytes) -> Sequence[FundingQuote]:
    """Join premiumIndex with the intervals of fundingInfo, which lists only unusual ones.

    Contracts without funding (dated futures show no next time) are left out.
    """
    hours = {
        row.symbol: row.fundingIntervalHours
        for row in wire.decode(info, list[wire.FundingInfoRow])
        if 0 < row.fundingIntervalHours <= 24
    }
    return [
        FundingQuote(
            venue_symbol=row.symbol,
            rate=Ratio(wire.number(row.lastFundingRate, "lastFundingRate")),
            mark_price=Price(wire.positive(row.markPrice, "markPrice")),
            next_funding_at=wire.moment(row.nextFundingTime, "nextFundingTime"),
            interval_hours=hours.get(row.symbol, USUAL_FUNDING_HOURS),
            at=wire.moment(row.time, "time"),
        )
        for row in wire.decode(premium, list[wire.PremiumRow])
        if row.nextFundingTime > 0 and row.lastFundingRate
    ]


# One account


def balance(body: bytes, *, asset: str, at: datetime) -> BalanceReport:
    """Read `/fapi/v3/account`; its totals are in USD terms over all margin assets."""
    row = wire.decode(body, wire.AccountRow)
    return BalanceReport(
        asset=asset,
        equity=QuoteAmount(wire.number(row.totalMarginBalance, "totalMarginBalance")),
        wallet_balance=QuoteAmount(wire.number(row.totalWalletBalance, "totalWalletBalance")),
        available=QuoteAmount(wire.number(row.availableBalance, "availableBalance")),
        initial_margin=QuoteAmount(wire.unsigned(row.totalInitialMargin, "totalInitialMargin")),
        maintenance_margin=QuoteAmount(wire.unsigned(row.totalMaintMargin, "totalMaintMargin")),
        at=at,
    )


def positions(body: bytes, *, at: datetime) -> Sequence[PositionReport]:
    """Read `/fapi/v3/positionRisk`: positions only, symbols with nothing but orders left out.

    Raises BadAnswer for an account in hedge mode, whose two-sided rows we do not net.
    """
    reports = []
    for row in wire.decode(body, list[wire.PositionRow]):
        size = wire.number(row.positionAmt, "positionAmt")
        if size == 0:
            continue
        if row.positionSide != "BOTH":
            raise BadAnswer("hedge-mode", f"{row.symbol} {row.positionSide}")
        reports.append(
            PositionReport(
                venue_symbol=row.symbol,
                size=BaseAmount(size),
                entry_price=_price_or_none(row.entryPrice, "entryPrice"),
                mark_price=_price_or_none(row.markPrice, "markPrice"),
                unrealized_pnl=QuoteAmount(wire.number(row.unRealizedProfit, "unRealizedProfit")),
                liquidation_price=_price_or_none(row.liquidationPrice, "liquidationPrice"),
                initial_margin=QuoteAmount(wire.unsigned(row.initialMargin, "initialMargin")),
                at=at,
            )
        )
    return reports


def order(body: bytes, *, venue_symbol: str, client_order_id: str) -> OrderReport:
    """Read one order; raises BadAnswer when it is not the one asked for."""
    report = order_report(wire.decode(body, wire.OrderRow))
    _same("symbol", report.venue_symbol, venue_symbol)
    _same("client order id", report.client_order_id, client_order_id)
    return report


def orders(body: bytes) -> Sequence[OrderReport]:
    return [order_report(row) for row in wire.decode(body, list[wire.OrderRow])]


def acknowledged(body: bytes, command: SubmitOrder) -> OrderReport:
    """Return the venue's echo of our own order; raises BadAnswer when anything differs."""
    report = order(body, venue_symbol=command.venue_symbol, client_order_id=command.client_order_id)
    _same("side", report.side, command.side)
    _same("amount", report.amount, command.amount)
    _same("reduce-only", report.reduce_only, command.reduce_only)
    if command.type is not OrderType.MARKET:
        _same("price", report.price, command.price)
    return report


def order_report(row: wire.OrderRow) -> OrderReport:
    if row.orderId <= 0:
        raise BadAnswer("bad-id", str(row.orderId))
    amount = wire.positive(row.origQty, "origQty")
    filled = wire.unsigned(row.executedQty, "executedQty")
    state = wire.status(row.status)
    check_filled(state, amount, filled)
    average = wire.unsigned(row.avgPrice, "avgPrice")
    if filled and not average:
        raise BadAnswer("not-positive", "avgPrice of a filled order")
    price = wire.unsigned(row.price, "price")
    return OrderReport(
        venue_symbol=row.symbol,
        venue_order_id=str(row.orderId),
        client_order_id=row.clientOrderId,
        side=wire.side(row.side),
        status=state,
        amount=BaseAmount(amount),
        filled=BaseAmount(filled),
        price=Price(price) if price else None,
        average_price=Price(average) if filled else None,
        reduce_only=row.reduceOnly,
        at=wire.moment(row.updateTime, "updateTime"),
    )


def check_filled(state: OrderStatus, amount: Decimal, filled: Decimal) -> None:
    """Raise BadAnswer unless the filled amount can go with the status."""
    fits = {
        OrderStatus.OPEN: filled == 0,
        OrderStatus.PARTIALLY_FILLED: 0 < filled < amount,
        OrderStatus.FILLED: filled == amount,
    }
    if not fits.get(state, filled <= amount):
        raise BadAnswer("bad-filled", f"{state}: {filled} of {amount}")


def fills(body: bytes, *, venue_symbol: str) -> Sequence[FillReport]:
    return [_fill(row, venue_symbol) for row in wire.decode(body, list[wire.TradeRow])]


def _fill(row: wire.TradeRow, venue_symbol: str) -> FillReport:
    _same("symbol", row.symbol, venue_symbol)
    if row.id <= 0 or row.orderId <= 0:
        raise BadAnswer("bad-id", f"{row.id}/{row.orderId}")
    return FillReport(
        venue_symbol=row.symbol,
        trade_id=str(row.id),
        venue_order_id=str(row.orderId),
        client_order_id=None,
        side=wire.side(row.side),
        amount=BaseAmount(wire.positive(row.qty, "qty")),
        price=Price(wire.positive(row.price, "price")),
        fee=wire.number(row.commission, "commission"),
        fee_asset=row.commissionAsset,
        is_maker=row.maker,
        at=wire.moment(row.time, "time"),
    )


def funding_payments(body: bytes) -> Sequence[FundingPayment]:
    return [
        FundingPayment(
            venue_symbol=row.symbol,
            payment_id=str(row.tranId),
            amount=QuoteAmount(wire.number(row.income, "income")),
            asset=row.asset,
            at=wire.moment(row.time, "time"),
        )
        for row in wire.decode(body, list[wire.IncomeRow])
        if row.incomeType == "FUNDING_FEE"
    ]


def _price_or_none(text: str, name: str) -> Price | None:
    """Return a price, or None for the venue's zero (none) and below (never reached)."""
    value = wire.number(text, name)
    return Price(value) if value > 0 else None


def _same(name: str, given: object, asked: object) -> None:
    if given != asked:
        raise BadAnswer("not-ours", f"{name} is {given}, asked was {asked}")
