"""The shapes of the /fapi JSON that we read: Binance USDⓈ-M's, which Aster took over.

Shapes: the vendors' pages for USDⓈ-M futures and for futures v3.
"""

from typing import Any, Final

import msgspec

from markets.venues.checks import BadAnswer
from markets.venues.types import MarginMode, OrderStatus, Side

STATUSES: Final = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
MARGIN_TYPES: Final = {MarginMode.CROSS: "CROSSED", MarginMode.ISOLATED: "ISOLATED"}
_MARGIN_MODES: Final = {
    "cross": MarginMode.CROSS,
    "crossed": MarginMode.CROSS,
    "isolated": MarginMode.ISOLATED,
}


class OrderRow(msgspec.Struct):
    orderId: int
    symbol: str
    status: str
    clientOrderId: str
    side: str
    price: str
    origQty: str
    executedQty: str
    updateTime: int
    avgPrice: str | None = None  # a cancel's answer does not tell it
    reduceOnly: bool = False


class AccountRow(msgspec.Struct):
    totalInitialMargin: str
    totalMaintMargin: str
    totalWalletBalance: str
    totalMarginBalance: str
    availableBalance: str


class PositionRow(msgspec.Struct):
    symbol: str
    positionSide: str
    positionAmt: str
    entryPrice: str
    markPrice: str
    unRealizedProfit: str
    liquidationPrice: str
    initialMargin: str | None = None


class TradeRow(msgspec.Struct):
    symbol: str
    id: int
    orderId: int
    side: str
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: int
    maker: bool


class IncomeRow(msgspec.Struct):
    symbol: str
    incomeType: str
    income: str
    asset: str
    time: int
    tranId: int | str


class LedgerRow(msgspec.Struct):
    """A line of the income history, whatever it is of; `symbol` is blank but for trades."""

    incomeType: str
    income: str
    asset: str
    time: int
    tranId: int | str


class BookTopRow(msgspec.Struct):
    symbol: str
    bidPrice: str
    bidQty: str
    askPrice: str
    askQty: str
    time: int
    lastUpdateId: int = 0


class PremiumRow(msgspec.Struct):
    symbol: str
    markPrice: str
    lastFundingRate: str
    nextFundingTime: int
    time: int


class FundingInfoRow(msgspec.Struct):
    symbol: str
    fundingIntervalHours: int


class FundingRateRow(msgspec.Struct):
    symbol: str
    fundingRate: str
    fundingTime: int
    markPrice: str = ""  # settlements before 2023 have none


class SymbolRow(msgspec.Struct):
    symbol: str
    contractType: str
    status: str
    baseAsset: str
    quoteAsset: str
    marginAsset: str
    filters: list[dict[str, Any]]


class ExchangeInfo(msgspec.Struct):
    symbols: list[SymbolRow]


class ServerTime(msgspec.Struct):
    serverTime: int


class LeverageRow(msgspec.Struct):
    symbol: str
    leverage: int


class TermsRow(msgspec.Struct):
    symbol: str
    leverage: int
    marginType: str
    positionSide: str = "BOTH"


class PositionModeRow(msgspec.Struct):
    dualSidePosition: bool


class TimerRow(msgspec.Struct):
    symbol: str
    countdownTime: int


class ListenKey(msgspec.Struct):
    listenKey: str


class Done(msgspec.Struct):
    code: int | str


def side(text: str) -> Side:
    try:
        return SIDES[text]
    except KeyError:
        raise BadAnswer("unknown-side", text) from None


def status(text: str) -> OrderStatus:
    try:
        return STATUSES[text]
    except KeyError:
        raise BadAnswer("unknown-status", text) from None


def margin_mode(text: str) -> MarginMode:
    """Read a margin type, which one answer says in other words than the next."""
    try:
        return _MARGIN_MODES[text.lower()]
    except KeyError:
        raise BadAnswer("unknown-margin-type", text) from None
