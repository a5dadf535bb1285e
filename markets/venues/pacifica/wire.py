"""The shapes of Pacifica's JSON that we read, over HTTP and over sockets.

Shapes: the vendor's API documentation, and answers its test network gave.
"""

from typing import Final, Generic, TypeVar

import msgspec

from markets.venues.checks import BadAnswer
from markets.venues.types import OrderStatus, Side

Data = TypeVar("Data")

SIDES: Final = {"bid": Side.BUY, "ask": Side.SELL}
TRADE_SIDES: Final = {
    "open_long": Side.BUY,
    "close_short": Side.BUY,
    "open_short": Side.SELL,
    "close_long": Side.SELL,
}
STATUSES: Final = {
    "open": OrderStatus.OPEN,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELLED,
    "rejected": OrderStatus.REJECTED,
    "expired": OrderStatus.EXPIRED,
}


class Envelope(msgspec.Struct, Generic[Data]):
    success: bool
    data: Data
    next_cursor: str | None = None
    has_more: bool = False


class MarketRow(msgspec.Struct):
    symbol: str
    tick_size: str
    lot_size: str
    max_leverage: int
    min_order_size: str
    instrument_type: str = "perpetual"
    base_asset: str | None = None


class PriceRow(msgspec.Struct):
    symbol: str
    mark: str
    oracle: str
    funding: str
    next_funding: str
    timestamp: int


class FundingRateRow(msgspec.Struct):
    funding_rate: str
    created_at: int


class LevelRow(msgspec.Struct):
    p: str
    a: str


class BookRow(msgspec.Struct):
    s: str
    l: tuple[list[LevelRow], list[LevelRow]]  # noqa: E741 - the venue's own name
    t: int
    li: int = 0


class AccountRow(msgspec.Struct):
    balance: str
    account_equity: str
    available_to_spend: str
    total_margin_used: str
    cross_mmr: str


class SettingRow(msgspec.Struct):
    symbol: str
    isolated: bool
    leverage: int


class PositionRow(msgspec.Struct):
    symbol: str
    side: str
    amount: str
    entry_price: str
    liquidation_price: str | None = None


class OpenOrderRow(msgspec.Struct):
    order_id: int
    symbol: str
    side: str
    price: str
    initial_amount: str
    filled_amount: str
    reduce_only: bool
    updated_at: int
    client_order_id: str | None = None


class PastOrderRow(msgspec.Struct):
    order_id: int
    symbol: str
    side: str
    initial_price: str
    average_filled_price: str
    amount: str
    filled_amount: str
    order_status: str
    reduce_only: bool
    created_at: int
    updated_at: int
    client_order_id: str | None = None


class TradeRow(msgspec.Struct):
    history_id: int
    order_id: int
    symbol: str
    amount: str
    price: str
    fee: str
    event_type: str
    side: str
    created_at: int
    client_order_id: str | None = None


class FundingRow(msgspec.Struct):
    history_id: int
    symbol: str
    payout: str
    created_at: int


class BalanceEventRow(msgspec.Struct):
    """`amount` is what the event added to `balance`, signed; the line has no id of its own."""

    amount: str
    balance: str
    event_type: str
    created_at: int


class Accepted(msgspec.Struct):
    order_id: int


class Cancelled(msgspec.Struct):
    cancelled_count: int


# Sockets


class Bbo(msgspec.Struct):
    s: str
    li: int
    t: int
    b: str
    B: str
    a: str
    A: str


class OrderUpdateRow(msgspec.Struct):
    i: int
    s: str
    d: str
    p: str
    ip: str
    a: str
    f: str
    os: str
    r: bool
    ut: int
    I: str | None = None  # noqa: E741 - the venue's own name


class TradeUpdateRow(msgspec.Struct):
    h: int
    i: int
    s: str
    p: str
    a: str
    te: str
    ts: str
    f: str
    t: int
    li: int
    I: str | None = None  # noqa: E741 - the venue's own name


class PositionUpdateRow(msgspec.Struct):
    s: str
    d: str
    a: str
    p: str
    t: int
    l: str | None = None  # noqa: E741 - the venue's own name


class InfoUpdate(msgspec.Struct):
    b: str
    t: int


def side(text: str) -> Side:
    return _known(SIDES, text, "side")


def trade_side(text: str) -> Side:
    return _known(TRADE_SIDES, text, "side")


def status(text: str) -> OrderStatus:
    return _known(STATUSES, text, "status")


Known = TypeVar("Known")


def _known(table: dict[str, Known], text: str, name: str) -> Known:
    try:
        return table[text]
    except KeyError:
        raise BadAnswer(f"unknown-{name}", text) from None
