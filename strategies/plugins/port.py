"""What a strategy sees and what it may wish for. Values only: a plug-in does no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from markets.domain.instrument import InstrumentSpec
from markets.venues.types import OrderType, Side


@dataclass(frozen=True, slots=True)
class Funding:
    """The next settlement's rate, and when and how often it settles; positive: longs pay."""

    rate: Decimal
    next_at: datetime
    interval: timedelta


@dataclass(frozen=True, slots=True)
class MarketState:
    """One instrument with a fresh quote. `funding` is None when it is not known."""

    instrument_id: UUID
    spec: InstrumentSpec
    bid: Decimal
    ask: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    funding: Funding | None

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2


MarketView = Mapping[tuple[str, str], MarketState]
"""(venue, symbol) -> what is known and fresh; anything stale or unknown is absent."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account a module may use.

    `capacity` is the USD value that may still be opened for the module, None when the account's
    margin is unknown. `taken` holds the symbols with a position or an order in flight in the same
    environment, None when positions are unknown.
    """

    account_id: str
    venue_id: str
    sandbox: bool
    capacity: Decimal | None
    taken: frozenset[str] | None


AccountView = Sequence[AccountState]


@dataclass(frozen=True, slots=True)
class Leg:
    """One order of a signal. `amount` is base, `expected_profit_after_fee` this leg's USD."""

    account_id: str
    instrument_id: UUID
    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None
    expected_profit_after_fee: Decimal


@dataclass(frozen=True, slots=True)
class Signal:
    """Orders that are wished for together or not at all. `notional` is the larger leg's, USD."""

    symbol: str
    legs: tuple[Leg, Leg]
    notional: Decimal
    sandbox: bool
    reason: str

    @property
    def expected_profit_after_fee(self) -> Decimal:
        return sum((leg.expected_profit_after_fee for leg in self.legs), Decimal(0))

    def meets(self, target_percent: Decimal) -> bool:
        """Tell whether the profit is above zero and at least this share of the notional."""
        profit = self.expected_profit_after_fee
        return profit > 0 and profit * 100 >= target_percent * self.notional


class Plugin(Protocol):
    """A strategy type. `evaluate` is pure: equal inputs give equal signals, best first."""

    config_schema: Mapping[str, Any]

    def evaluate(
        self, market: MarketView, accounts: AccountView, config: Mapping[str, Any], now: datetime
    ) -> list[Signal]: ...
