"""What venues tell us and what we ask of them, in our words. Frozen, Decimal, UTC.

Sizes are in the base asset (contract size already applied). A `…Report` is an observation: it
has been checked for finite, in-range numbers and for the symbol and id asked for, nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec

from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio

Row = TypeVar("Row")


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """`IOC` is a limit order whose rest is cancelled at once; `POST_ONLY` never takes."""

    LIMIT = "limit"
    MARKET = "market"
    POST_ONLY = "post-only"
    IOC = "ioc"


class MarginMode(StrEnum):
    """Whether a contract's position is backed by the whole account or by a margin of its own."""

    CROSS = "cross"
    ISOLATED = "isolated"


class PositionMode(StrEnum):
    """Whether a contract has one signed position, or a long and a short beside each other."""

    ONE_WAY = "one-way"
    HEDGE = "hedge"


class OrderStatus(StrEnum):
    """A venue order's status, as the venue tells it; `EXPIRED` covers an IOC's unfilled rest."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially-filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a venue is: base addresses without a trailing slash.

    A venue reached through ccxt is named by `ccxt_id`; blank addresses are then the class's own.
    """

    rest: str
    websocket: str
    ccxt_id: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One account's keys. Which are needed depends on the venue (see each adapter)."""

    public_key: Secret = field(default_factory=lambda: Secret(""))
    api_key: Secret = field(default_factory=lambda: Secret(""))
    api_secret: Secret = field(default_factory=lambda: Secret(""))
    passphrase: Secret = field(default_factory=lambda: Secret(""))
    agent_key: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True, slots=True)
class InstrumentReport:
    """One linear perpetual as the venue lists it. `min_qty`, `max_qty`, `lot` are base units."""

    venue_symbol: str
    base: str
    quote: str
    contract_size: Decimal
    tick: Decimal
    lot: BaseAmount
    min_qty: BaseAmount
    max_qty: BaseAmount | None
    max_market_qty: BaseAmount | None
    min_notional: QuoteAmount
    max_leverage: Decimal | None
    maker_fee: Ratio | None
    taker_fee: Ratio | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """An account's margin state in its settlement asset. Utilization = initial_margin / equity."""

    asset: str
    equity: QuoteAmount
    wallet_balance: QuoteAmount
    available: QuoteAmount
    initial_margin: QuoteAmount
    maintenance_margin: QuoteAmount
    at: datetime


@dataclass(frozen=True, slots=True)
class PositionReport:
    """`size` is signed base, long positive."""

    venue_symbol: str
    size: BaseAmount
    entry_price: Price | None
    mark_price: Price | None
    unrealized_pnl: QuoteAmount | None
    liquidation_price: Price | None
    initial_margin: QuoteAmount | None
    at: datetime


LONGEST_ID: Final = 64
"""Characters of a client order id that are kept: others choose theirs, and our record has room."""


def _keep_id(report: "OrderReport | FillReport") -> None:
    """Make a client order id one that a record can keep: not longer, and without NUL."""
    text = report.client_order_id
    if text and (len(text) > LONGEST_ID or "\x00" in text):
        kept = text.replace("\x00", "\ufffd")[:LONGEST_ID]
        object.__setattr__(report, "client_order_id", kept)


@dataclass(frozen=True, slots=True)
class OrderReport:
    """`amount` and `filled` are unsigned base; `0 <= filled <= amount` has been checked."""

    venue_symbol: str
    venue_order_id: str
    client_order_id: str
    side: Side
    status: OrderStatus
    amount: BaseAmount
    filled: BaseAmount
    price: Price | None
    average_price: Price | None
    reduce_only: bool
    at: datetime

    def __post_init__(self) -> None:
        _keep_id(self)


@dataclass(frozen=True, slots=True)
class FillReport:
    """One trade of ours. `fee` is positive when paid. `trade_id` is unique per instrument."""

    venue_symbol: str
    trade_id: str
    venue_order_id: str
    client_order_id: str | None
    side: Side
    amount: BaseAmount
    price: Price
    fee: Decimal
    fee_asset: str
    is_maker: bool
    at: datetime

    def __post_init__(self) -> None:
        _keep_id(self)


@dataclass(frozen=True, slots=True)
class MarginTerms:
    """How the venue margins a contract for an account; None is what it does not tell."""

    venue_symbol: str
    leverage: Decimal | None
    mode: MarginMode | None


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """One funding settlement booked to an account; `amount` is positive when received."""

    venue_symbol: str
    payment_id: str
    amount: QuoteAmount
    asset: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that moved a wallet by no trade, fee or funding; positive when it came in.

    `kind` is the venue's own word for it, `transfer_id` unique among those of one kind.
    """

    transfer_id: str
    kind: str
    amount: QuoteAmount
    asset: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Slice(Generic[Row]):
    """A part of a history. `cursor` is where the next one begins, blank at the end.

    A cursor is the venue's or the adapter's own and means nothing elsewhere.
    """

    rows: Sequence[Row]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class FundingQuote:
    """The rate of the next settlement as now estimated; positive means longs pay shorts."""

    venue_symbol: str
    rate: Ratio
    mark_price: Price
    next_funding_at: datetime
    interval_hours: int
    at: datetime


@dataclass(frozen=True, slots=True)
class FundingSettlement:
    """A settlement that has been: the rate paid, and the mark where the venue tells it."""

    venue_symbol: str
    rate: Ratio
    mark_price: Price | None
    at: datetime


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """An order to send once. `amount` is base and a multiple of the lot, `price` of the tick."""

    venue_symbol: str
    side: Side
    type: OrderType
    amount: BaseAmount
    client_order_id: str
    price: Price | None = None
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class CancelOrder:
    venue_symbol: str
    client_order_id: str


# What a stream says.


class BookTop(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask. `venue_ms` is the venue's clock; `sequence` only grows per symbol.

    A struct, because one is made for every message: it takes a fifth of a frozen dataclass.
    """

    venue_symbol: str
    bid: Price
    bid_size: Decimal
    ask: Price
    ask_size: Decimal
    venue_ms: int
    sequence: int


@dataclass(frozen=True, slots=True)
class MarkPrice:
    venue_symbol: str
    mark: Price
    index: Price | None
    funding_rate: Ratio | None
    next_funding_ms: int | None
    venue_ms: int


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An order's new state; `fill` is the trade that caused it, where the venue tells both at once.

    A venue that does not sends the FillReport as an event of its own.
    """

    order: OrderReport
    fill: FillReport | None


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """Positions that changed (absolute sizes) and the settlement asset's wallet balance."""

    positions: tuple[PositionReport, ...]
    wallet_balance: QuoteAmount | None
    reason: str
    venue_ms: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A frame or a line we did not believe, and why. `reason` is a short stable code for counters.

    `venue_symbol` is what it spoke of, blank where that cannot be told.
    """

    reason: str
    detail: str
    venue_symbol: str = ""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The venue says this stream is over (for instance its listen key expired)."""

    reason: str


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Where an account's stream is, what opens it, and what said now and then keeps it."""

    url: str
    frames: tuple[str, ...] = ()
    heartbeat: str | None = None


MarketEvent = BookTop | MarkPrice | Quarantined
PrivateEvent = OrderUpdate | FillReport | AccountUpdate | Quarantined | StreamEnded
