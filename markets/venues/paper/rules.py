"""What the paper venue is asked, what it refuses, and what it tells: the engine's vocabulary."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from markets.venues.paper.model import (
    ZERO,
    Account,
    Builder,
    Income,
    Instrument,
    Market,
    Order,
    OrderKind,
    TimeInForce,
    Trade,
    is_multiple,
)
from markets.venues.types import Side


class Reason(StrEnum):
    """Why the venue refuses; a dialect turns it into its own code and text."""

    UNKNOWN_SYMBOL = "unknown-symbol"
    DUPLICATE_CLIENT_ID = "duplicate-client-id"
    PRICE_NOT_ON_TICK = "price-not-on-tick"
    PRICE_TOO_HIGH = "price-too-high"
    PRICE_TOO_LOW = "price-too-low"
    AMOUNT_NOT_ON_LOT = "amount-not-on-lot"
    AMOUNT_TOO_SMALL = "amount-too-small"
    AMOUNT_TOO_LARGE = "amount-too-large"
    NOTIONAL_TOO_SMALL = "notional-too-small"
    TOO_MANY_ORDERS = "too-many-orders"
    REDUCE_ONLY = "reduce-only"
    INSUFFICIENT_MARGIN = "insufficient-margin"
    POST_ONLY_CROSSES = "post-only-crosses"
    FOK_UNFILLED = "fok-unfilled"
    UNKNOWN_ORDER = "unknown-order"
    UNKNOWN_CANCEL = "unknown-cancel"
    LEVERAGE_OUT_OF_RANGE = "leverage-out-of-range"
    MARGIN_MODE_WITH_ORDERS = "margin-mode-with-orders"
    MARGIN_MODE_WITH_POSITION = "margin-mode-with-position"
    SYMBOL_CLOSED = "symbol-closed"
    WRONG_POSITION_SIDE = "wrong-position-side"
    BUILDER_NOT_APPROVED = "builder-not-approved"
    NO_PERMISSION = "no-permission"
    LISTEN_KEY_GONE = "listen-key-gone"
    MAINTENANCE = "maintenance"
    TOO_MANY_REQUESTS = "too-many-requests"
    BANNED = "banned"


class Refused(Exception):
    """The venue refuses an act; nothing has changed."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason} {detail}".strip())
        self.reason = reason


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as asked for. `price` is zero for a market order that takes any price."""

    symbol: str
    side: Side
    kind: OrderKind
    tif: TimeInForce
    amount: Decimal
    price: Decimal
    client_id: str
    reduce_only: bool = False
    external: bool = False
    builder: Builder | None = None


class Execution(StrEnum):
    """What made an order change."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class OrderChanged:
    order: Order
    execution: Execution
    trade: Trade | None
    at_ns: int


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Wallet or positions moved; `change` is what the wallet gained."""

    account: Account
    symbols: tuple[str, ...]
    reason: str
    change: Decimal
    at_ns: int


@dataclass(frozen=True, slots=True)
class IncomeBooked:
    income: Income


EngineEvent = OrderChanged | AccountChanged | IncomeBooked


def check_filters(market: Market, new: NewOrder) -> None:
    """Raise Refused unless an order keeps its instrument's filters."""
    instrument = market.instrument
    _check_amount(instrument, new)
    price = market.mark
    if new.kind is OrderKind.LIMIT:
        if new.price <= 0 or not is_multiple(new.price, instrument.tick):
            raise Refused(Reason.PRICE_NOT_ON_TICK)
        if new.side is Side.BUY and new.price > market.mark * (1 + instrument.price_band):
            raise Refused(Reason.PRICE_TOO_HIGH)
        if new.side is Side.SELL and new.price < market.mark * (1 - instrument.price_band):
            raise Refused(Reason.PRICE_TOO_LOW)
        price = new.price
    if not new.reduce_only and new.amount * price < instrument.min_notional:
        raise Refused(Reason.NOTIONAL_TOO_SMALL)


def _check_amount(instrument: Instrument, new: NewOrder) -> None:
    if not is_multiple(new.amount, instrument.lot):
        raise Refused(Reason.AMOUNT_NOT_ON_LOT)
    if new.amount < instrument.min_qty:
        raise Refused(Reason.AMOUNT_TOO_SMALL)
    is_market = new.kind is OrderKind.MARKET
    if new.amount > (instrument.max_market_qty if is_market else instrument.max_qty):
        raise Refused(Reason.AMOUNT_TOO_LARGE)


def check_builder(account: Account, builder: Builder | None) -> None:
    """Raise Refused unless whoever is to be paid was approved, for at least what he takes."""
    if builder is None:
        return
    approved = account.builders.get(builder.code)
    if approved is None or builder.fee_rate > approved.fee_rate:
        raise Refused(Reason.BUILDER_NOT_APPROVED)


def crosses(kind: OrderKind, side: Side, limit: Decimal, price: Decimal) -> bool:
    """Tell whether an order would trade at a level's price."""
    if kind is OrderKind.LIQUIDATION or not limit:
        return True
    return price <= limit if side is Side.BUY else price >= limit


def crossing_amount(market: Market, new: NewOrder) -> Decimal:
    """Return how much of `new` would trade at once."""
    found = ZERO
    for price, size in market.quote.levels(new.side, market.instrument.tick):
        if not crosses(new.kind, new.side, new.price, price):
            break
        found += size
    return min(found, new.amount)
