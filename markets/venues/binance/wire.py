"""The shapes of Binance USDⓈ-M's JSON that we read, and the checks each number passes.

Numbers stay the venue's own strings until `finite_decimal` has seen them. Everything that does
not fit raises BadAnswer, with a short text fit to log.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.units import finite_decimal
from markets.venues.types import OrderStatus, Side

RECEIVE_WINDOW: Final = timedelta(seconds=5)
"""How long after its signed time the venue may still accept a request (its own default)."""
SETTLEMENT_ASSET: Final = "USDT"
EPOCH: Final = datetime.fromtimestamp(0, tz=UTC)
MAX_MS: Final = 4_102_444_800_000
"""2100-01-01: a clock beyond it is no clock."""

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

Shape = TypeVar("Shape")


class BadAnswer(Exception):
    """Something the venue said that we do not believe. `reason` is a short stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}"[:300])
        self.reason = reason
        self.detail = detail[:200]


class OrderRow(msgspec.Struct):
    orderId: int
    symbol: str
    status: str
    clientOrderId: str
    side: str
    price: str
    avgPrice: str
    origQty: str
    executedQty: str
    updateTime: int
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
    initialMargin: str = "0"


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


class ListenKey(msgspec.Struct):
    listenKey: str


class Done(msgspec.Struct):
    code: int


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Return `body` as `shape`; raises BadAnswer (NaN and Infinity are no JSON)."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadAnswer("malformed", str(error)) from None


def number(text: str, name: str) -> Decimal:
    """Return a finite decimal in the range we store; raises BadAnswer."""
    try:
        return finite_decimal(text, name=name)
    except InvalidNumber as error:
        raise BadAnswer("bad-number", error.message) from None


def positive(text: str, name: str) -> Decimal:
    value = number(text, name)
    if value <= 0:
        raise BadAnswer("not-positive", f"{name} is {text}")
    return value


def unsigned(text: str, name: str) -> Decimal:
    value = number(text, name)
    if value < 0:
        raise BadAnswer("negative", f"{name} is {text}")
    return value


def clock_ms(value: int, name: str) -> int:
    if not 0 < value < MAX_MS:
        raise BadAnswer("bad-time", f"{name} is {value}")
    return value


def moment(value: int, name: str) -> datetime:
    """Return milliseconds since the epoch as a UTC time; raises BadAnswer."""
    seconds, milliseconds = divmod(clock_ms(value, name), 1000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=milliseconds * 1000)


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
