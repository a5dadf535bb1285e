"""Funding arbitrage: short where funding is higher, long where it is lower, same size.

What is expected of a pair over the horizon, per leg, in USD:

    funding   −side × rate × settlements × notional     (a short receives a positive rate)
    fees      −2 × taker fee × notional                 (in and out, both taking liquidity)
    spread    −(ask − bid) × amount                     (half of it in, half out)

`settlements` are the funding times of the venue within the horizon, each at the rate now
estimated; `notional` is amount × mid. A maker rebate or a negative fee counts as nothing, and the
venues' prices are taken to be as far apart at the end as at the start.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from math import lcm
from typing import Any, Final

from controlplane.kernel.units import finite_decimal
from markets.venues.types import OrderType, Side
from strategies.plugins.port import (
    AccountState,
    AccountView,
    Funding,
    Leg,
    MarketState,
    MarketView,
    Signal,
)

BASIS_POINT: Final = Decimal("0.0001")
DEFAULT_BP: Final = 10

CONFIG_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["symbols", "notional", "horizonHours"],
    "properties": {
        "symbols": {
            "title": "Symbols",
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 20},
            "minItems": 1,
            "maxItems": 50,
            "uniqueItems": True,
        },
        "notional": {
            "title": "Value of each leg, USD",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1_000_000_000,
        },
        "horizonHours": {
            "title": "Hours held",
            "type": "integer",
            "minimum": 1,
            "maximum": 720,
        },
        "maxSpreadBp": {
            "title": "Widest spread of a leg, bp",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1000,
            "default": DEFAULT_BP,
        },
        "maxSlippageBp": {
            "title": "Worst price beyond the touch, bp",
            "type": "number",
            "minimum": 0,
            "maximum": 1000,
            "default": DEFAULT_BP,
        },
    },
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The configuration, as numbers."""

    symbols: tuple[str, ...]
    notional: Decimal
    horizon: timedelta
    max_spread: Decimal
    max_slippage: Decimal

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Terms":
        def number(name: str, default: int = 0) -> Decimal:
            # JSON's numbers reach us as floats; their shortest text is what was written.
            return finite_decimal(str(config.get(name, default)), name=name)

        return cls(
            symbols=tuple(config["symbols"]),
            notional=number("notional"),
            horizon=timedelta(hours=int(config["horizonHours"])),
            max_spread=number("maxSpreadBp", DEFAULT_BP) * BASIS_POINT,
            max_slippage=number("maxSlippageBp", DEFAULT_BP) * BASIS_POINT,
        )


@dataclass(frozen=True, slots=True)
class _Side:
    """One candidate leg: an account and its market."""

    account: AccountState
    market: MarketState
    funding: Funding
    capacity: Decimal


class FundingArbitrage:
    """The built-in strategy; see the module's text for its arithmetic."""

    config_schema = CONFIG_SCHEMA

    def evaluate(
        self, market: MarketView, accounts: AccountView, config: Mapping[str, Any], now: datetime
    ) -> list[Signal]:
        """Return at most one pair per symbol and per account, the most profitable first."""
        terms = Terms.of(config)
        pairs = sorted(
            (
                signal
                for symbol in terms.symbols
                for short, long in permutations(_sides(symbol, market, accounts, terms), 2)
                if (signal := _pair(symbol, short, long, terms, now)) is not None
            ),
            key=lambda signal: signal.expected_profit_after_fee / signal.notional,
            reverse=True,
        )
        return list(_without_overlap(pairs))


def leg_profit(
    side: Side, market: MarketState, funding: Funding, amount: Decimal, *, count: int
) -> Decimal:
    """Return what one leg is expected to earn, in USD, after `count` settlements and all costs."""
    notional = amount * market.mid
    received = -side.sign * funding.rate * count * notional
    fees = 2 * max(market.taker_fee, Decimal(0)) * notional
    return received - fees - (market.ask - market.bid) * amount


def settlements(funding: Funding, *, now: datetime, horizon: timedelta) -> int:
    """Return how many settlements fall within the horizon from `now`."""
    left = now + horizon - funding.next_at
    return 0 if left < timedelta(0) else 1 + left // funding.interval


def common_lot(a: Decimal, b: Decimal) -> Decimal:
    """Return the smallest size that is a multiple of both lots, exactly."""
    one, other = Fraction(a), Fraction(b)
    shared = Fraction(
        lcm(one.numerator * other.denominator, other.numerator * one.denominator),
        one.denominator * other.denominator,
    )
    return Decimal(shared.numerator) / Decimal(shared.denominator)


def _sides(symbol: str, market: MarketView, accounts: AccountView, terms: Terms) -> Iterator[_Side]:
    for account in accounts:
        state = market.get((account.venue_id, symbol))
        if state is None or state.funding is None:
            continue  # stale or unknown
        if account.capacity is None or account.taken is None or symbol in account.taken:
            continue
        if state.ask - state.bid <= terms.max_spread * state.mid:
            yield _Side(account, state, state.funding, account.capacity)


def _pair(symbol: str, short: _Side, long: _Side, terms: Terms, now: datetime) -> Signal | None:
    if short.account.venue_id == long.account.venue_id:
        return None
    if short.account.sandbox is not long.account.sandbox:
        return None
    amount = _amount(short, long, terms)
    if not all(side.market.spec.is_tradable(amount, side.market.bid) for side in (short, long)):
        return None
    legs = (
        _leg(Side.SELL, short, amount, terms, now),
        _leg(Side.BUY, long, amount, terms, now),
    )
    return Signal(
        symbol=symbol,
        legs=legs,
        notional=amount * max(short.market.mid, long.market.mid),
        sandbox=short.account.sandbox,
        reason=(
            f"funding {short.funding.rate} on {short.account.venue_id} against "
            f"{long.funding.rate} on {long.account.venue_id}"
        ),
    )


def _amount(short: _Side, long: _Side, terms: Terms) -> Decimal:
    """Return the base size of both legs: the cap over the dearer price, down to both lots."""
    value = min(terms.notional, short.capacity, long.capacity)
    lot = common_lot(short.market.spec.lot, long.market.spec.lot)
    wanted = value / (max(short.market.ask, long.market.ask) * (1 + terms.max_slippage))
    return max(wanted // lot * lot, Decimal(0))


def _leg(side: Side, at: _Side, amount: Decimal, terms: Terms, now: datetime) -> Leg:
    touch = at.market.ask if side is Side.BUY else at.market.bid
    worst = touch * (1 + side.sign * terms.max_slippage)
    return Leg(
        account_id=at.account.account_id,
        instrument_id=at.market.instrument_id,
        side=side,
        type=OrderType.IOC,
        amount=amount,
        price=at.market.spec.price_toward_passive(side, worst),
        expected_profit_after_fee=leg_profit(
            side,
            at.market,
            at.funding,
            amount,
            count=settlements(at.funding, now=now, horizon=terms.horizon),
        ),
    )


def _without_overlap(signals: list[Signal]) -> Iterator[Signal]:
    """Keep the best signal of each symbol; an account's capacity is spent once."""
    symbols: set[str] = set()
    accounts: set[str] = set()
    for signal in signals:
        used = {leg.account_id for leg in signal.legs}
        if (
            signal.expected_profit_after_fee > 0
            and signal.symbol not in symbols
            and not used & accounts
        ):
            symbols.add(signal.symbol)
            accounts |= used
            yield signal
