"""ccxt's unified structures as our reports: strict, exact, in base units, only what was asked.

Venue symbols are ccxt's own (`BTC/USDT:USDT`): one spelling for all venues, where a venue's may be
a bare number (Hyperliquid). ccxt fills gaps with zeros and defaults; what matters is therefore
required and checked here.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio, plain
from markets.venues import checks
from markets.venues.checks import BadAnswer
from markets.venues.reports import top_of_book
from markets.venues.types import (
    BookTop,
    FillReport,
    FundingPayment,
    FundingQuote,
    FundingSettlement,
    InstrumentReport,
    OrderReport,
    OrderStatus,
    PositionReport,
    Side,
)

logger = logging.getLogger(__name__)

Market = Mapping[str, Any]
Markets = Mapping[str, Market]

TICK_SIZE: Final = 4
DECIMAL_PLACES: Final = 2
"""ccxt's precision modes (`ccxt.base.decimal_to_precision`)."""
STALE_MS: Final = 10_000
_STATUSES: Final = {
    "open": OrderStatus.OPEN,
    "canceling": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "rejected": OrderStatus.REJECTED,
    "expired": OrderStatus.EXPIRED,
}
_ASSET: Final = re.compile(r"[A-Za-z0-9]{1,20}")
_HOURS: Final = re.compile(r"(\d{1,2})h")


# Fields


def text(row: Mapping[str, Any], name: str) -> str:
    """Return a field that must be there; raises BadAnswer."""
    value = row.get(name)
    if value is None or value == "":
        raise BadAnswer("missing", name)
    return str(value)


def number(row: Mapping[str, Any], name: str) -> Decimal:
    return checks.number(text(row, name), name)


def unsigned(row: Mapping[str, Any], name: str) -> Decimal:
    return checks.unsigned(text(row, name), name)


def positive(row: Mapping[str, Any], name: str) -> Decimal:
    return checks.positive(text(row, name), name)


def positive_or_none(row: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a number above zero; None where it is missing, or a venue's zero for none."""
    value = row.get(name)
    if value is None or value == "":
        return None
    found = checks.unsigned(str(value), name)
    return found or None


def moment(row: Mapping[str, Any], name: str) -> datetime:
    stamp = text(row, name)
    if not stamp.isdigit():
        raise BadAnswer("bad-time", f"{name} is {stamp[:40]}")
    return checks.moment(int(stamp), name)


def side_of(row: Mapping[str, Any]) -> Side:
    try:
        return Side(text(row, "side"))
    except ValueError:
        raise BadAnswer("bad-side", str(row.get("side"))[:40]) from None


def market_of(markets: Markets, row: Mapping[str, Any]) -> Market:
    """Return the market a row is about; raises BadAnswer for one we do not list."""
    symbol = text(row, "symbol")
    market = markets.get(symbol)
    if market is None or not is_ours(market):
        raise BadAnswer("unknown-symbol", symbol)
    return market


def is_listed(markets: Markets, row: Mapping[str, Any]) -> bool:
    """Tell whether a row is about a linear perpetual; raises BadAnswer when nobody can tell.

    Spot (`BTC/USDT`) and listed contracts of other kinds are not ours to look at.
    """
    symbol = text(row, "symbol")
    if symbol in markets:
        return is_ours(markets[symbol])
    if "/" in symbol and ":" not in symbol:
        return False
    raise BadAnswer("unknown-symbol", symbol)


def is_ours(market: Market) -> bool:
    """Tell whether a market is a linear perpetual settled in its quote asset."""
    return (
        market.get("swap") is True
        and market.get("linear") is True
        and market.get("settle") == market.get("quote")
    )


def contract_size(market: Market) -> Decimal:
    """Return base units of one contract: told by the venue, never taken for 1."""
    return positive(market, "contractSize")


# Public data


def instruments(markets: Markets, *, settle: str, mode: int) -> Sequence[InstrumentReport]:
    """Return the linear perpetuals settled in `settle`; what cannot be read is left out."""
    reports = []
    for symbol, market in sorted(markets.items()):
        if not is_ours(market) or market.get("settle") != settle:
            continue
        try:
            reports.append(_instrument(market, mode))
        except BadAnswer as error:
            logger.warning("Instrument %s is left out: %s", symbol[:60], error)
    return reports


def _instrument(market: Market, mode: int) -> InstrumentReport:
    if not _ASSET.fullmatch(text(market, "base")):
        raise BadAnswer("bad-asset", str(market["base"]))
    size = contract_size(market)
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    amounts = limits.get("amount") or {}
    lot = _step(precision, "amount", mode) * size
    largest = positive_or_none(amounts, "max")
    return InstrumentReport(
        venue_symbol=text(market, "symbol"),
        base=text(market, "base"),
        quote=text(market, "quote"),
        contract_size=size,
        tick=_step(precision, "price", mode),
        lot=BaseAmount(lot),
        min_qty=BaseAmount((positive_or_none(amounts, "min") or Decimal(0)) * size or lot),
        max_qty=None if largest is None else BaseAmount(largest * size),
        max_market_qty=None,
        min_notional=QuoteAmount(positive_or_none(limits.get("cost") or {}, "min") or Decimal(0)),
        max_leverage=positive_or_none(limits.get("leverage") or {}, "max"),
        maker_fee=_fee(market, "maker"),
        taker_fee=_fee(market, "taker"),
        is_active=market.get("active") is True,
    )


def _step(precision: Mapping[str, Any], name: str, mode: int) -> Decimal:
    if mode == TICK_SIZE:
        return positive(precision, name)
    if mode == DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(number(precision, name)))
    raise BadAnswer("bad-precision", f"{name} has no fixed step")


def _fee(market: Market, name: str) -> Ratio | None:
    if market.get("percentage") is False or market.get(name) is None:
        return None
    return Ratio(number(market, name))


def book_top(book: Mapping[str, Any], market: Market, *, asked_ms: int) -> BookTop:
    """Return the best of an order book. One that the venue does not date is as of when we asked.

    Raises BadAnswer for a book that is empty, crossed, or dated long before it was asked for.
    """
    symbol = text(market, "symbol")
    checks.same("symbol", book.get("symbol"), symbol)
    size = contract_size(market)
    bid, bid_size = _level(book, "bids")
    ask, ask_size = _level(book, "asks")
    at = asked_ms
    if book.get("timestamp") is not None:
        at = checks.clock_ms(int(text(book, "timestamp")), "timestamp")
        if asked_ms - at > STALE_MS:
            raise BadAnswer("stale", f"{symbol} is {asked_ms - at} ms old")
    nonce = str(book.get("nonce") or "")
    return top_of_book(
        symbol,
        bid,
        plain(checks.positive(bid_size, "bid size") * size),
        ask,
        plain(checks.positive(ask_size, "ask size") * size),
        at_ms=at,
        sequence=int(nonce) if nonce.isdigit() and len(nonce) < 19 else at,
    )


def _level(book: Mapping[str, Any], name: str) -> tuple[str, str]:
    levels = book.get(name)
    if not isinstance(levels, list) or not levels or len(levels[0]) < 2:
        raise BadAnswer("missing", name)
    return str(levels[0][0]), str(levels[0][1])


def funding_quotes(
    rates: Mapping[str, Any], marks: Mapping[str, Any], markets: Markets, *, now_ms: int
) -> Sequence[FundingQuote]:
    """Return the funding of what we list; a contract whose terms are not all told is left out."""
    quotes = []
    for symbol, rate in rates.items():
        if symbol not in markets or not is_ours(markets[symbol]):
            continue
        try:
            quotes.append(_funding_quote(rate, marks.get(symbol) or rate, now_ms))
        except BadAnswer as error:
            logger.debug("Funding of %s is left out: %s", str(symbol)[:60], error)
    return quotes


def _funding_quote(rate: Mapping[str, Any], mark: Mapping[str, Any], now_ms: int) -> FundingQuote:
    hours = _HOURS.fullmatch(text(rate, "interval"))
    if hours is None or not 0 < int(hours[1]) <= 24:
        raise BadAnswer("bad-interval", str(rate["interval"])[:40])
    at = checks.moment(now_ms, "now")
    due = moment(rate, "fundingTimestamp")
    if due <= at:
        due = moment(rate, "nextFundingTimestamp")
    return FundingQuote(
        venue_symbol=text(rate, "symbol"),
        rate=Ratio(number(rate, "fundingRate")),
        mark_price=Price(positive(mark, "markPrice")),
        next_funding_at=due,
        interval_hours=int(hours[1]),
        at=at,
    )


def funding_settlements(
    rows: Any, venue_symbol: str, *, since: datetime
) -> Sequence[FundingSettlement]:
    """Return the settlements from `since` on, oldest first, each once."""
    found = {}
    for row in listed(rows):
        checks.same("symbol", row.get("symbol"), venue_symbol)
        at = moment(row, "timestamp")
        if at >= since:
            rate = Ratio(number(row, "fundingRate"))
            found[at] = FundingSettlement(venue_symbol, rate, None, at)
    return [found[at] for at in sorted(found)]


# One account


def positions(rows: Any, markets: Markets, *, at: datetime) -> Sequence[PositionReport]:
    """Return the open positions; raises BadAnswer for a two-sided (hedge mode) account."""
    reports = []
    for row in listed(rows):
        contracts = unsigned(row, "contracts")
        if contracts == 0:
            continue
        market = market_of(markets, row)
        if row.get("hedged") is True:
            raise BadAnswer("hedge-mode", text(row, "symbol"))
        sign = {"long": 1, "short": -1}.get(text(row, "side"))
        if sign is None:
            raise BadAnswer("bad-side", str(row["side"])[:40])
        pnl = row.get("unrealizedPnl")
        margin = row.get("initialMargin")
        reports.append(
            PositionReport(
                venue_symbol=text(row, "symbol"),
                size=BaseAmount(sign * contracts * contract_size(market)),
                entry_price=_price(row, "entryPrice"),
                mark_price=_price(row, "markPrice"),
                unrealized_pnl=None if pnl is None else QuoteAmount(number(row, "unrealizedPnl")),
                liquidation_price=_price(row, "liquidationPrice"),
                initial_margin=None
                if margin is None
                else QuoteAmount(unsigned(row, "initialMargin")),
                at=at,
            )
        )
    doubled = {report.venue_symbol for report in reports}
    if len(doubled) != len(reports):
        raise BadAnswer("hedge-mode", "two positions in one contract")
    return reports


def _price(row: Mapping[str, Any], name: str) -> Price | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    return checks.price_or_none(str(value), name)


def order(row: Any, markets: Markets, *, client_order_id: str | None, now_ms: int) -> OrderReport:
    """Return an order; `client_order_id` is its id in our own form, None where it has none."""
    market = market_of(markets, row)
    size = contract_size(market)
    amount, filled = positive(row, "amount") * size, unsigned(row, "filled") * size
    status = _STATUSES.get(text(row, "status"))
    if status is None:
        raise BadAnswer("bad-status", str(row["status"])[:40])
    if status is OrderStatus.OPEN and filled:
        status = OrderStatus.PARTIALLY_FILLED
    if status is OrderStatus.FILLED and filled < amount:
        status = OrderStatus.CANCELLED  # ccxt's "closed" with a rest that is not worked any more
    checks.check_filled(status, amount, filled)
    stamp = row.get("lastUpdateTimestamp") or row.get("timestamp") or now_ms
    price = positive_or_none(row, "price")
    average = positive_or_none(row, "average") if filled else None
    return OrderReport(
        venue_symbol=text(market, "symbol"),
        venue_order_id=text(row, "id"),
        client_order_id=client_order_id or "",
        side=side_of(row),
        status=status,
        amount=BaseAmount(amount),
        filled=BaseAmount(filled),
        price=None if price is None else Price(price),
        average_price=None if average is None else Price(average),
        reduce_only=row.get("reduceOnly") is True,
        at=moment({"timestamp": stamp}, "timestamp"),
    )


def fill(row: Any, market: Market, *, client_order_id: str | None) -> FillReport:
    checks.same("symbol", row.get("symbol"), market["symbol"])
    fee = row.get("fee") or {}
    if row.get("takerOrMaker") not in ("taker", "maker"):
        raise BadAnswer("missing", "takerOrMaker")
    return FillReport(
        venue_symbol=text(market, "symbol"),
        trade_id=text(row, "id"),
        venue_order_id=text(row, "order"),
        client_order_id=client_order_id,
        side=side_of(row),
        amount=BaseAmount(positive(row, "amount") * contract_size(market)),
        price=Price(positive(row, "price")),
        fee=number(fee, "cost"),
        fee_asset=text(fee, "currency"),
        is_maker=row["takerOrMaker"] == "maker",
        at=moment(row, "timestamp"),
    )


def funding_payments(rows: Any, markets: Markets) -> Sequence[FundingPayment]:
    return [
        FundingPayment(
            venue_symbol=text(row, "symbol"),
            payment_id=f"{text(row, 'timestamp')}-{text(row, 'id')}",  # some ids are all alike
            amount=QuoteAmount(number(row, "amount")),
            asset=text(row, "code"),
            at=moment(row, "timestamp"),
        )
        for row in listed(rows)
        if row.get("symbol") in markets
    ]


def listed(rows: Any) -> Sequence[Any]:
    if not isinstance(rows, list):
        raise BadAnswer("malformed", "not a list")
    return rows
