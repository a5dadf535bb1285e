"""What a book holds of each asset, and what orders on their way may still make of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import ZERO, BaseAmount, BtcEquivalent
from markets.venues.types import Side

BTC: Final = "BTC"
POSITIONS_VALID: Final = timedelta(seconds=60)
"""A complete look at an account's positions is believed at least this long."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One account's position in an asset; `size` is signed base, long positive."""

    account_id: str
    symbol: str
    size: BaseAmount


@dataclass(frozen=True, slots=True)
class InFlight:
    """What one intent may still change: up to `open_base` (unsigned base) on its side.

    Counts what is not filled and what is filled but not yet in the position we know.
    `resting` orders wait in the book for somebody else, so no hedge waits for them;
    `unknown` ones were perhaps never accepted; `lost` ones have been unknown for longer than the
    policy waits.
    """

    account_id: str
    symbol: str
    side: Side
    open_base: BaseAmount
    resting: bool = False
    unknown: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Exposure:
    """A book's exposure to one asset, long positive.

    `low_base` and `high_base` bound what the position may be once every order that is about to
    be decided has been; `worst_low_base` and `worst_high_base` add resting orders. `unknown`
    names the accounts whose positions are not known; then no number here may be traded on.
    `has_only_lost`: all that is on its way has been unknown for longer than the policy waits.
    """

    symbol: str
    delta_base: BaseAmount
    low_base: BaseAmount
    high_base: BaseAmount
    worst_low_base: BaseAmount
    worst_high_base: BaseAmount
    reference: Decimal | None
    btc_reference: Decimal | None
    unknown: tuple[str, ...] = ()
    has_unknown_intent: bool = False
    has_only_lost: bool = False

    def in_btc(self, base: Decimal) -> BtcEquivalent | None:
        """Return an amount of the asset as BTC-equivalent, or None without fresh prices."""
        return btc_equivalent(
            base, reference=self.reference, btc_reference=self.btc_reference, symbol=self.symbol
        )

    @property
    def delta_btc(self) -> BtcEquivalent | None:
        """The net delta as BTC-equivalent; None when a position or a price is unknown."""
        return None if self.unknown else self.in_btc(self.delta_base)


def is_known(
    looked_at: datetime | None,
    *,
    now: datetime,
    sync_interval: timedelta,
    recovery_at: datetime | None,
) -> bool:
    """Tell whether what an account holds is known: a complete look, not too long ago.

    Between looks the private stream tells of changes; a missed one is found by the next look.
    A look before a recovery does not count, or a book would be hedged by what one side holds
    now and the other did before nobody watched.
    """
    if looked_at is None or (recovery_at is not None and looked_at < recovery_at):
        return False
    return now - looked_at <= max(POSITIONS_VALID, 3 * sync_interval)


def btc_equivalent(
    base: Decimal, *, reference: Decimal | None, btc_reference: Decimal | None, symbol: str
) -> BtcEquivalent | None:
    """Return base × reference(asset) ÷ reference(BTC), or None when a price is missing.

    Nothing is nothing at any price, and BTC needs none.
    """
    if symbol == BTC or base == 0:
        return BtcEquivalent(base)
    if reference is None or btc_reference is None:
        return None
    return BtcEquivalent(base * reference / btc_reference)


def net_exposures(
    holdings: Iterable[Holding],
    in_flight: Iterable[InFlight],
    references: Mapping[str, Decimal],
    *,
    unknown: Iterable[str] = (),
) -> tuple[Exposure, ...]:
    """Return the exposure to every asset held or on its way, in order of the symbol."""
    delta: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for holding in holdings:
        delta[holding.symbol] += holding.size
    orders: dict[str, list[InFlight]] = defaultdict(list)
    for order in in_flight:
        orders[order.symbol].append(order)
    missing = tuple(sorted(set(unknown)))
    return tuple(
        _exposure(symbol, delta[symbol], orders[symbol], references, missing)
        for symbol in sorted({*delta, *orders})
    )


def _exposure(
    symbol: str,
    delta: Decimal,
    orders: list[InFlight],
    references: Mapping[str, Decimal],
    unknown: tuple[str, ...],
) -> Exposure:
    soon = [order for order in orders if not order.resting]
    return Exposure(
        symbol=symbol,
        delta_base=BaseAmount(delta),
        low_base=BaseAmount(delta - _open(soon, Side.SELL)),
        high_base=BaseAmount(delta + _open(soon, Side.BUY)),
        worst_low_base=BaseAmount(delta - _open(orders, Side.SELL)),
        worst_high_base=BaseAmount(delta + _open(orders, Side.BUY)),
        reference=references.get(symbol),
        btc_reference=references.get(BTC),
        unknown=unknown,
        has_unknown_intent=any(order.unknown for order in orders),
        has_only_lost=bool(soon) and all(order.lost for order in soon),
    )


def _open(orders: Iterable[InFlight], side: Side) -> Decimal:
    return sum((order.open_base for order in orders if order.side is side), ZERO)
