"""What a paper venue keeps: instruments, quotes, orders, trades, positions and accounts.

Plain values and the margin arithmetic over them; the rules of trading are in `engine.py`.
Amounts are base units, money is the settlement asset, times are the venue's clock in ns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Final

from markets.venues.types import OrderStatus, Side

ZERO: Final = Decimal(0)
DEPTH_LEVELS: Final = 20
_ENTRY_STEP: Final = Decimal("1e-12")


class OrderKind(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIQUIDATION = "LIQUIDATION"


class TimeInForce(StrEnum):
    """How long an order lives; GTX is post-only."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One linear perpetual, contract size 1. `maintenance` and fees are ratios of notional."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_market_qty: Decimal
    min_notional: Decimal
    max_leverage: int = 125
    maintenance: Decimal = Decimal("0.004")
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    price_band: Decimal = Decimal("0.05")
    max_open_orders: int = 200


@dataclass(slots=True)
class Quote:
    """The house's top of book. Behind it stand `DEPTH_LEVELS` levels, one tick apart."""

    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    update_id: int
    at_ns: int

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2

    def levels(self, taker: Side, tick: Decimal) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield (price, size) a taker meets, best first; the k-th holds k times the touch."""
        price, size, step = (
            (self.ask, self.ask_size, tick)
            if taker is Side.BUY
            else (self.bid, self.bid_size, -tick)
        )
        for depth in range(DEPTH_LEVELS):
            level = price + step * depth
            if level <= 0:
                return
            yield level, size * (depth + 1)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A funding settlement that has been."""

    at_ns: int
    rate: Decimal
    mark: Decimal


@dataclass(slots=True)
class Market:
    """An instrument with its present prices. `index` is None until one is given: then the mid.

    `settlements` are its funding's past, oldest first.
    """

    instrument: Instrument
    quote: Quote
    funding_rate: Decimal
    next_funding_ns: int
    index_basis: Decimal = ZERO
    settlements: list[Settlement] = field(default_factory=list)
    listed: bool = True
    known: bool = True

    @property
    def mark(self) -> Decimal:
        return self.quote.mid

    @property
    def index(self) -> Decimal:
        return self.quote.mid * (1 - self.index_basis)


@dataclass(frozen=True, slots=True)
class Builder:
    """Who sends an order on its owner's behalf and is paid for it; `code` is his code or address.

    `fee_rate` is what an order gives him, or the most an owner has allowed, written as the venue
    writes it: the vendors do not say whether that is a ratio or a percentage. It is noted and
    never charged.
    """

    code: str
    fee_rate: Decimal
    name: str = ""


@dataclass(slots=True)
class Order:
    order_id: int
    account: str
    symbol: str
    client_id: str
    side: Side
    kind: OrderKind
    tif: TimeInForce
    price: Decimal
    amount: Decimal
    reduce_only: bool
    external: bool
    created_ns: int
    updated_ns: int
    builder: Builder | None = None
    status: OrderStatus = OrderStatus.OPEN
    filled: Decimal = ZERO
    cost: Decimal = ZERO

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.filled

    @property
    def average_price(self) -> Decimal:
        return self.cost / self.filled if self.filled else ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    trade_id: int
    order_id: int
    account: str
    symbol: str
    client_id: str
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    realized: Decimal
    is_maker: bool
    external: bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class Income:
    """A change of the wallet: FUNDING_FEE, COMMISSION, REALIZED_PNL, TRANSFER.

    Positive is received.
    """

    income_id: int
    account: str
    symbol: str
    kind: str
    amount: Decimal
    asset: str
    trade_id: int | None
    at_ns: int


@dataclass(slots=True)
class Position:
    """`size` is signed base, long positive."""

    size: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    updated_ns: int = 0

    def add(self, signed: Decimal, price: Decimal) -> Decimal:
        """Book a fill and return the profit it realizes (negative for a loss), before fees."""
        if self.size * signed >= 0:
            total = self.size + signed
            self.entry = ((self.entry * self.size + price * signed) / total).quantize(_ENTRY_STEP)
            self.size = total
            return ZERO
        closed = min(abs(self.size), abs(signed))
        profit = closed * (price - self.entry) * (1 if self.size > 0 else -1)
        self.size += signed
        if self.size == 0:
            self.entry = ZERO
        elif abs(signed) > closed:
            self.entry = price
        self.realized += profit
        return profit


@dataclass(slots=True)
class Account:
    """One account. Which symbols are `isolated` is kept and told; margins are not split.

    In `hedge_mode` it refuses orders that name no side of it. `builders` are those its owner has
    approved, by code.
    """

    label: str
    asset: str
    wallet: Decimal
    updated_ns: int
    default_leverage: int = 20
    hedge_mode: bool = False
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    isolated: set[str] = field(default_factory=set)
    builders: dict[str, Builder] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    newest_by_client_id: dict[str, Order] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    income: list[Income] = field(default_factory=list)

    def size(self, symbol: str) -> Decimal:
        position = self.positions.get(symbol)
        return position.size if position else ZERO

    def leverage_of(self, symbol: str) -> int:
        return self.leverage.get(symbol, self.default_leverage)

    def unrealized(self, symbol: str, mark: Decimal) -> Decimal:
        position = self.positions.get(symbol)
        return position.size * (mark - position.entry) if position else ZERO

    def position_margin(self, symbol: str, mark: Decimal) -> Decimal:
        return abs(self.size(symbol)) * mark / self.leverage_of(symbol)

    def symbol_margin(
        self, symbol: str, mark: Decimal, *, buys: Decimal = ZERO, sells: Decimal = ZERO
    ) -> Decimal:
        """Return the initial margin of a symbol: the worse of all its bids or all its asks filled.

        `buys` and `sells` are further open amounts to count (an order about to be placed).
        """
        for order in self.open_orders.values():
            if order.symbol == symbol and not order.reduce_only:
                if order.side is Side.BUY:
                    buys += order.remaining
                else:
                    sells += order.remaining
        size = self.size(symbol)
        worst = max(abs(size), abs(size + buys), abs(size - sells))
        return worst * mark / self.leverage_of(symbol)

    def touched(self) -> set[str]:
        """Return the symbols with a position or an open order."""
        held = {symbol for symbol, position in self.positions.items() if position.size}
        return held | {order.symbol for order in self.open_orders.values()}


@dataclass(frozen=True, slots=True)
class MarginState:
    """An account's sums over all symbols. `equity` = wallet + unrealized."""

    wallet: Decimal
    unrealized: Decimal
    position_margin: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal

    @property
    def equity(self) -> Decimal:
        return self.wallet + self.unrealized

    @property
    def available(self) -> Decimal:
        return max(ZERO, self.equity - self.initial_margin)


def margin_state(account: Account, markets: Mapping[str, Market]) -> MarginState:
    """Sum an account's margin over the symbols it touches, at the present marks."""
    unrealized = position_margin = initial = maintenance = ZERO
    for symbol in account.touched():
        market = markets[symbol]
        mark = market.mark
        unrealized += account.unrealized(symbol, mark)
        position_margin += account.position_margin(symbol, mark)
        initial += account.symbol_margin(symbol, mark)
        maintenance += abs(account.size(symbol)) * mark * market.instrument.maintenance
    return MarginState(account.wallet, unrealized, position_margin, initial, maintenance)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    return value % step == 0


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` not above a positive `value`."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step
