"""Funding arbitrage against numbers worked out by hand, and laws that hold for any numbers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.ids import uuid7
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import OrderType, Side
from strategies import plugins
from strategies.domain.capacity import capacity
from strategies.domain.config import config_problems, schema_problem
from strategies.plugins.funding_arbitrage import (
    CONFIG_SCHEMA,
    FundingArbitrage,
    common_lot,
    leg_profit,
    settlements,
)
from strategies.plugins.port import AccountState, Funding, MarketState, Signal

D = Decimal
NOW = datetime(2026, 1, 1, 7, tzinfo=UTC)
CONFIG = {"symbols": ["BTC"], "notional": 6020, "horizonHours": 24}


def spec(lot: str) -> InstrumentSpec:
    return InstrumentSpec(
        venue_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        contract_size=D(1),
        tick=D("0.1"),
        lot=D(lot),
        min_qty=D(lot),
        min_notional=D(5),
    )


HIGH = MarketState(
    instrument_id=uuid7(),
    spec=spec("0.001"),
    bid=D(59_999),
    ask=D(60_001),
    maker_fee=D("0.0002"),
    taker_fee=D("0.0004"),
    funding=Funding(D("0.003"), NOW + timedelta(hours=1), timedelta(hours=8)),
)
LOW = MarketState(
    instrument_id=uuid7(),
    spec=spec("0.01"),
    bid=D(60_009),
    ask=D(60_011),
    maker_fee=D("-0.0001"),
    taker_fee=D("0.0005"),
    funding=Funding(D("0.0001"), NOW + timedelta(hours=1), timedelta(hours=4)),
)
ONE = AccountState("one", "high", sandbox=True, capacity=D(100_000), taken=frozenset())
TWO = AccountState("two", "low", sandbox=True, capacity=D(100_000), taken=frozenset())


def signals(
    high: MarketState | None = HIGH,
    low: MarketState | None = LOW,
    one: AccountState = ONE,
    two: AccountState = TWO,
    **config: Any,
) -> list[Signal]:
    markets = {("high", "BTC"): high, ("low", "BTC"): low}
    return FundingArbitrage().evaluate(
        {key: state for key, state in markets.items() if state is not None},
        [one, two],
        {**CONFIG, **config},
        NOW,
    )


def test_the_pair_is_worth_what_the_arithmetic_says() -> None:
    [signal] = signals()
    short, long = signal.legs
    # 6020 / (60011 × 1.001) = 0.10021…, down to the common lot of 0.01.
    assert (short.amount, long.amount) == (D("0.10"), D("0.10"))
    assert (short.account_id, short.side) == ("one", Side.SELL)
    assert (long.account_id, long.side) == ("two", Side.BUY)
    assert {short.type, long.type} == {OrderType.IOC}
    # 59999 × 0.999 = 59939.001, up to the tick; 60011 × 1.001 = 60071.011, down to it.
    assert (short.price, long.price) == (D("59939.1"), D("60071.0"))
    # Short: 6000 USD; 0.003 × 3 × 6000 = 54; fees 2 × 0.0004 × 6000 = 4.8; spread 0.2.
    assert short.expected_profit_after_fee == D("49.0")
    # Long: 6001 USD; −0.0001 × 6 × 6001 = −3.6006; fees 6.001; spread 0.2.
    assert long.expected_profit_after_fee == D("-9.8016")
    assert signal.expected_profit_after_fee == D("39.1984")
    assert signal.notional == D("6001")
    assert signal.sandbox


def test_the_target_is_a_share_of_the_notional() -> None:
    [signal] = signals()
    exact = signal.expected_profit_after_fee * 100 / signal.notional
    assert signal.meets(D("0.65"))
    assert not signal.meets(D("0.66"))
    assert not signal.meets(exact + D("1e-9"))


def test_negative_funding_is_earned_by_the_long() -> None:
    assert HIGH.funding is not None
    assert LOW.funding is not None
    [signal] = signals(
        high=replace(HIGH, funding=replace(HIGH.funding, rate=D("0.0001"))),
        low=replace(LOW, funding=replace(LOW.funding, rate=D("-0.002"))),
    )
    assert [(leg.account_id, leg.side) for leg in signal.legs] == [
        ("one", Side.SELL),
        ("two", Side.BUY),
    ]
    # Short 54 × (0.0001 / 0.003) − 5 = −3.2; long 0.002 × 6 × 6001 − 6.201 = 65.811.
    assert signal.expected_profit_after_fee == D("62.611")


@pytest.mark.parametrize(
    "change",
    [
        {"high": None},
        {"low": None},
        {"high": replace(HIGH, funding=None)},
        {"one": replace(ONE, capacity=None)},
        {"one": replace(ONE, capacity=D(0))},
        {"one": replace(ONE, taken=None)},
        {"two": replace(TWO, taken=frozenset({"BTC"}))},
        {"two": replace(TWO, venue_id="high")},
        {"two": replace(TWO, sandbox=False)},
        {"maxSpreadBp": 0.3},
        {"notional": 500},  # not one common lot
        {"horizonHours": 1, "symbols": ["ETH"]},
    ],
)
def test_nothing_is_wished_for_on_what_is_stale_unknown_taken_or_too_small(
    change: dict[str, Any],
) -> None:
    assert signals(**change) == []


def test_fees_that_eat_the_funding_leave_no_signal() -> None:
    assert HIGH.funding is not None
    assert signals(high=replace(HIGH, funding=replace(HIGH.funding, rate=D("0.0002")))) == []


def test_each_account_and_symbol_is_used_once() -> None:
    three = replace(TWO, account_id="three")
    market = {("high", "BTC"): HIGH, ("low", "BTC"): LOW, ("high", "ETH"): HIGH}
    market["low", "ETH"] = LOW
    made = FundingArbitrage().evaluate(
        market, [ONE, TWO, three], {**CONFIG, "symbols": ["BTC", "ETH"]}, NOW
    )
    assert len(made) == 1


@pytest.mark.parametrize(
    ("hours_to_next", "interval", "horizon", "count"),
    [(1, 8, 24, 3), (1, 4, 24, 6), (8, 8, 8, 1), (8, 8, 7, 0), (1, 1, 24, 24), (8, 8, 24, 3)],
)
def test_only_settlements_within_the_horizon_count(
    hours_to_next: int, interval: int, horizon: int, count: int
) -> None:
    funding = Funding(D(0), NOW + timedelta(hours=hours_to_next), timedelta(hours=interval))
    assert settlements(funding, now=NOW, horizon=timedelta(hours=horizon)) == count


@pytest.mark.parametrize(
    ("a", "b", "common"),
    [("0.001", "0.01", "0.01"), ("0.002", "0.003", "0.006"), ("5", "0.5", "5"), ("25", "10", "50")],
)
def test_common_lot(a: str, b: str, common: str) -> None:
    assert common_lot(D(a), D(b)) == D(common)


def test_capacity_is_the_smaller_room_times_the_weight() -> None:
    values: dict[str, Any] = {
        "equity": D(10_000),
        "initial_margin": D(6_000),
        "utilization_max": D("0.8"),
        "max_leverage": D(5),
        "max_position_value": D(50_000),
        "weight": D("0.5"),
    }
    assert capacity(**values) == D(5_000)
    assert capacity(**{**values, "max_position_value": D(8_000)}) == D(4_000)
    assert capacity(**{**values, "initial_margin": D(9_000)}) == 0
    assert capacity(**{**values, "initial_margin": None}) is None
    assert capacity(**{**values, "equity": None}) is None


def test_the_schema_is_one_that_modules_may_use() -> None:
    schema = dict(CONFIG_SCHEMA)
    assert schema_problem(schema) is None
    assert config_problems(CONFIG, schema) == []
    assert config_problems({**CONFIG, "notional": -1}, schema)
    assert config_problems({**CONFIG, "surprise": 1}, schema)


def test_hedge_only_and_market_making_wish_for_nothing_here() -> None:
    assert plugins.plugin_of("hedge-only") is None
    assert plugins.plugin_of("market-making") is None
    assert isinstance(plugins.plugin_of("funding-arbitrage"), FundingArbitrage)


rates = st.integers(-100, 100).map(lambda number: number * D("0.0001"))
fees = st.integers(-10, 20).map(lambda number: number * D("0.0001"))
amounts = st.integers(1, 10_000).map(lambda number: number * D("0.001"))


@given(side=st.sampled_from(Side), rate=rates, fee=fees, amount=amounts, count=st.integers(0, 100))
def test_profit_never_counts_a_fee_or_a_spread_as_a_gain(
    side: Side, rate: Decimal, fee: Decimal, amount: Decimal, count: int
) -> None:
    funding = Funding(rate, NOW, timedelta(hours=8))
    profit = leg_profit(side, replace(HIGH, taker_fee=fee), funding, amount, count=count)
    free = leg_profit(
        side,
        replace(HIGH, taker_fee=D(0), bid=D(60_000), ask=D(60_000)),
        funding,
        amount,
        count=count,
    )
    assert profit <= free == -side.sign * rate * count * amount * 60_000


@given(
    high=rates,
    low=rates,
    notional=st.integers(1, 1_000_000),
    caps=st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)),
    lots=st.tuples(st.sampled_from(["0.001", "0.003", "0.5"]), st.sampled_from(["0.01", "0.002"])),
)
def test_legs_are_equal_opposite_on_lot_and_within_every_cap(
    high: Decimal,
    low: Decimal,
    notional: int,
    caps: tuple[int, int],
    lots: tuple[str, str],
) -> None:
    assert HIGH.funding is not None
    assert LOW.funding is not None
    for signal in signals(
        high=replace(HIGH, spec=spec(lots[0]), funding=replace(HIGH.funding, rate=high)),
        low=replace(LOW, spec=spec(lots[1]), funding=replace(LOW.funding, rate=low)),
        one=replace(ONE, capacity=D(caps[0])),
        two=replace(TWO, capacity=D(caps[1])),
        notional=notional,
    ):
        a, b = signal.legs
        assert a.amount == b.amount > 0
        assert (a.side, b.side) == (Side.SELL, Side.BUY)
        assert a.account_id != b.account_id
        for leg in signal.legs:
            assert leg.price is not None
            assert leg.amount * leg.price <= min(notional, *caps)
            assert all(leg.amount % D(lot) == 0 for lot in lots)
        assert signal.expected_profit_after_fee > 0
