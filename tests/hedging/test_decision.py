"""What is decided about an exposure, and the numbers behind it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.units import BaseAmount, BtcEquivalent
from hedging.domain.decision import Decision, HedgeTerms, Reason, TradingState, Verdict, decide
from hedging.domain.delta import Exposure, Holding, InFlight, btc_equivalent, net_exposures
from markets.venues.types import Side

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRICES = {"BTC": Decimal(50_000), "ETH": Decimal(2_500)}
OPEN = TradingState(may_increase=True, may_reduce=True)


def exposure(
    size: str,
    *orders: InFlight,
    symbol: str = "BTC",
    prices: dict[str, Decimal] = PRICES,
    unknown: tuple[str, ...] = (),
) -> Exposure:
    holding = Holding("a", symbol, BaseAmount(Decimal(size)))
    (result,) = net_exposures([holding], orders, prices, unknown=unknown)
    return result


def order(side: Side, amount: str, **fields: Any) -> InFlight:
    return InFlight("a", fields.pop("symbol", "BTC"), side, BaseAmount(Decimal(amount)), **fields)


def decided(seen: Exposure, state: TradingState = OPEN, threshold: str = "0.01") -> Decision:
    return decide(seen, HedgeTerms(BtcEquivalent(Decimal(threshold))), state, now=NOW)


SELL, BUY = Side.SELL, Side.BUY


@pytest.mark.parametrize(
    ("size", "orders", "verdict", "reason", "trade"),
    [
        ("0", [], "HOLD", "WITHIN_THRESHOLD", "0"),
        ("0.01", [], "HOLD", "WITHIN_THRESHOLD", "0"),
        ("0.011", [], "HEDGE", "BREACH", "-0.011"),
        ("-0.5", [], "HEDGE", "BREACH", "0.5"),
        ("1", [order(SELL, "1")], "HOLD", "IN_FLIGHT", "0"),
        ("1", [order(SELL, "0.3")], "HEDGE", "BREACH", "-0.7"),
        ("1", [order(SELL, "0.995")], "HOLD", "IN_FLIGHT", "0"),
        ("1", [order(SELL, "2")], "HOLD", "IN_FLIGHT", "0"),
        ("1", [order(BUY, "1")], "HEDGE", "BREACH", "-1"),
        ("-1", [order(BUY, "1", unknown=True)], "HOLD", "OUTCOME_UNKNOWN", "0"),
        ("1", [order(SELL, "1", resting=True)], "HEDGE", "BREACH", "-1"),
        ("1", [order(SELL, "1", unknown=True, lost=True)], "REDUCE", "OUTCOME_LOST", "-1"),
        (
            "1",
            [order(SELL, "1", unknown=True, lost=True), order(SELL, "0.1")],
            "HOLD",
            "OUTCOME_UNKNOWN",
            "0",
        ),
        ("0", [order(SELL, "1", unknown=True, lost=True)], "HOLD", "WITHIN_THRESHOLD", "0"),
        ("-1", [order(SELL, "1", unknown=True, lost=True)], "HEDGE", "BREACH", "1"),
        ("0", [order(SELL, "1")], "HOLD", "WITHIN_THRESHOLD", "0"),
    ],
)
def test_only_what_no_order_in_flight_can_close_is_hedged(
    size: str, orders: list[InFlight], verdict: str, reason: str, trade: str
) -> None:
    result = decided(exposure(size, *orders))
    assert (result.verdict, result.reason, result.trade_base) == (verdict, reason, Decimal(trade))


def test_delta_of_another_asset_is_measured_in_btc() -> None:
    result = decided(exposure("1", symbol="ETH"))
    assert result.exposure.delta_btc == Decimal("0.05")
    assert (result.verdict, result.trade_base) == (Verdict.HEDGE, Decimal(-1))


@pytest.mark.parametrize("prices", [{}, {"BTC": PRICES["BTC"]}, {"ETH": PRICES["ETH"]}])
def test_no_fresh_price_holds(prices: dict[str, Decimal]) -> None:
    result = decided(exposure("1", symbol="ETH", prices=prices))
    assert (result.verdict, result.reason) == (Verdict.HOLD, Reason.QUOTE_STALE)
    assert result.exposure.delta_btc is None


def test_btc_needs_no_price_to_be_measured_but_one_to_be_traded() -> None:
    assert decided(exposure("0.001", prices={})).reason is Reason.WITHIN_THRESHOLD
    assert decided(exposure("1", prices={})).reason is Reason.QUOTE_STALE


def test_an_account_that_is_not_synced_holds_whatever_the_others_say() -> None:
    result = decided(exposure("100", unknown=("b",)))
    assert (result.verdict, result.reason) == (Verdict.HOLD, Reason.ACCOUNT_UNKNOWN)
    assert result.exposure.delta_btc is None


@pytest.mark.parametrize(
    ("may_increase", "may_reduce", "verdict"),
    [(True, True, "HEDGE"), (False, True, "REDUCE"), (False, False, "HALT")],
)
def test_what_the_book_may_do_sets_the_verdict(
    may_increase: bool, may_reduce: bool, verdict: str
) -> None:
    state = TradingState(may_increase=may_increase, may_reduce=may_reduce)
    result = decided(exposure("1"), state)
    assert result.verdict == verdict
    assert result.trade_base == (0 if verdict == "HALT" else -1)


def test_a_book_nobody_wants_traded_is_held_however_far_out() -> None:
    unwanted = TradingState(may_increase=True, may_reduce=True, is_wanted=False)
    result = decided(exposure("100"), unwanted)
    assert (result.verdict, result.reason) == (Verdict.HOLD, Reason.UNALLOCATED)
    assert decided(exposure("0"), unwanted).reason is Reason.WITHIN_THRESHOLD


def test_attempts_that_failed_wait_before_the_next() -> None:
    later = TradingState(True, True, retry_at=NOW + timedelta(seconds=1))
    assert decided(exposure("1"), later).reason is Reason.BACKING_OFF
    assert decided(exposure("1"), TradingState(True, True, retry_at=NOW)).verdict == "HEDGE"


def test_the_numbers_of_a_decision_are_texts_without_exponent() -> None:
    numbers = decided(exposure("0.00000001", order(SELL, "1", resting=True))).numbers()
    assert numbers["deltaBase"] == "0.00000001"
    assert numbers["worstLowBase"] == "-0.99999999"


def test_e08_a_price_that_swings_around_the_threshold_trades_once() -> None:
    size, trades = Decimal(1), []
    for tick in range(200):
        prices = {"BTC": PRICES["BTC"], "ETH": Decimal(2490 if tick % 2 else 2510)}
        result = decided(exposure(str(size), symbol="ETH", prices=prices), threshold="0.05")
        if result.is_trading:
            trades.append(result.trade_base)
            size += round(result.trade_base, 1)
    assert (trades, size) == ([Decimal(-1)], Decimal(0))


sizes = st.decimals("-10", "10", places=4)
orders = st.lists(
    st.builds(
        InFlight,
        st.just("a"),
        st.just("BTC"),
        st.sampled_from(Side),
        st.decimals("0", "5", places=4),
        resting=st.booleans(),
        unknown=st.booleans(),
    ),
    max_size=4,
)


@given(sizes, orders, st.data())
def test_a_hedge_never_enlarges_the_delta_however_orders_in_flight_end(
    size: Decimal, flying: list[InFlight], data: st.DataObject
) -> None:
    result = decided(exposure(str(size), *flying))
    soon = [item for item in flying if not item.resting]
    ends = [data.draw(st.decimals(0, item.open_base, places=4)) for item in soon]
    reached = size + sum((i.side.sign * e for i, e in zip(soon, ends, strict=True)), Decimal(0))
    assert abs(reached + result.trade_base) <= abs(reached)


@given(sizes, orders)
def test_deciding_again_with_the_hedge_in_flight_holds(
    size: Decimal, flying: list[InFlight]
) -> None:
    first = decided(exposure(str(size), *flying))
    if not first.is_trading:
        return
    side = Side.BUY if first.trade_base > 0 else Side.SELL
    hedge = InFlight("b", "BTC", side, BaseAmount(abs(first.trade_base)))
    again = decided(exposure(str(size), *flying, hedge))
    assert (again.verdict, again.trade_base) == (Verdict.HOLD, Decimal(0))


@given(st.decimals("-1e17", "1e17"), st.decimals("1e-8", "1e8"), st.decimals("1e-8", "1e8"))
def test_btc_equivalent_keeps_the_sign(size: Decimal, price: Decimal, btc: Decimal) -> None:
    result = btc_equivalent(size, reference=price, btc_reference=btc, symbol="ETH")
    assert result is not None
    assert (result > 0, result < 0) == (size > 0, size < 0)
