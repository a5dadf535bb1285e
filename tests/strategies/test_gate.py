"""The gate: codes, numbers, and what it never stands in the way of."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.instrument import InstrumentSpec
from markets.venues.types import OrderType, Side
from strategies.domain.gate import Circumstances, Holding, OrderTerms, denial

D = Decimal
SPEC = InstrumentSpec(
    venue_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    contract_size=D(1),
    tick=D("0.5"),
    lot=D("0.001"),
    min_qty=D("0.002"),
    min_notional=D(100),
    max_qty=D(100),
    max_market_qty=D(50),
)
ORDER = OrderTerms(
    side=Side.BUY, type=OrderType.MARKET, amount=D("0.01"), price=None, reduce_only=False
)
FLAT = Holding(position=D(0), buying=D(0), selling=D(0), has_unknown_order=False)
NOW = Circumstances(
    account_is_active=True,
    venue_is_enabled=True,
    module_is_enabled=True,
    instrument_is_active=True,
    reference=D(60_000),
    max_position_value=D(1_200),
    slippage_tolerance_percent=D("0.5"),
)


def reason(
    order: OrderTerms = ORDER, holding: Holding = FLAT, now: Circumstances = NOW
) -> str | None:
    refusal = denial(order, SPEC, holding, now)
    return None if refusal is None else refusal.message


def limit(price: str, side: Side = Side.BUY) -> OrderTerms:
    return replace(ORDER, side=side, type=OrderType.LIMIT, price=D(price))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ORDER, None),
        (replace(ORDER, amount=D("0.0105")), "AMOUNT_NOT_ON_LOT: amount=0.0105, lot=0.001"),
        (replace(ORDER, amount=D("NaN")), "AMOUNT_NOT_USABLE: amount=NaN"),
        (replace(ORDER, amount=D("Infinity")), "AMOUNT_NOT_USABLE: amount=Infinity"),
        (replace(ORDER, amount=D("-0.01")), "AMOUNT_NOT_USABLE: amount=-0.01"),
        (replace(ORDER, amount=D("1e30")), f"AMOUNT_NOT_USABLE: amount={10**30}"),
        (replace(ORDER, amount=D("0.001")), "AMOUNT_BELOW_MINIMUM: amount=0.001, minimum=0.002"),
        (replace(ORDER, amount=D(51)), "AMOUNT_ABOVE_MAXIMUM: amount=51, maximum=50"),
        (replace(ORDER, price=D(60_000)), "PRICE_DOES_NOT_FIT_TYPE: price=60000, type=market"),
        (replace(ORDER, type=OrderType.IOC), "PRICE_DOES_NOT_FIT_TYPE: price=None, type=ioc"),
        (limit("60000.2"), "PRICE_NOT_ON_TICK: price=60000.2, tick=0.5"),
        (limit("NaN"), "PRICE_NOT_USABLE: price=NaN"),
        (limit("60300"), None),
        (limit("60300.5"), "PRICE_OUTSIDE_COLLAR: price=60300.5, limit=60300, reference=60000"),
        (limit("59700", Side.SELL), None),
        (
            limit("59699.5", Side.SELL),
            "PRICE_OUTSIDE_COLLAR: price=59699.5, limit=59700, reference=60000",
        ),
        (limit("9999"), "NOTIONAL_BELOW_MINIMUM: notional=99.99, minimum=100"),
    ],
)
def test_form_and_size(order: OrderTerms, expected: str | None) -> None:
    assert reason(order) == expected


@pytest.mark.parametrize(
    ("holding", "expected"),
    [
        (FLAT, None),
        (replace(FLAT, position=D("0.01")), None),
        (
            replace(FLAT, position=D("0.011")),
            "NOTIONAL_EXCEEDS_MAXIMUM: notional=1260, maximum=1200",
        ),
        (
            replace(FLAT, buying=D("0.011")),
            "NOTIONAL_EXCEEDS_MAXIMUM: notional=1260, maximum=1200",
        ),
        (replace(FLAT, selling=D(5)), None),
        # A buy that makes a too large short smaller is welcome, unless orders on their way
        # could turn it round.
        (replace(FLAT, position=D("-0.5")), None),
        (
            replace(FLAT, position=D("-0.5"), buying=D("0.511")),
            "NOTIONAL_EXCEEDS_MAXIMUM: notional=1260, maximum=1200",
        ),
        (replace(FLAT, position=None), "POSITION_UNKNOWN"),
        (replace(FLAT, has_unknown_order=True), "ORDER_OUTCOME_UNKNOWN"),
    ],
)
def test_the_worst_case_of_what_is_in_flight_counts(holding: Holding, expected: str | None) -> None:
    assert reason(holding=holding) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"account_is_active": False}, "ACCOUNT_NOT_ACTIVE"),
        ({"venue_is_enabled": False}, "VENUE_DISABLED"),
        ({"module_is_enabled": False}, "MODULE_NOT_ENABLED"),
        ({"instrument_is_active": False}, "INSTRUMENT_NOT_ACTIVE"),
        ({"reference": None}, "PRICE_STALE: reference=None"),
        ({"reference": D("NaN")}, "PRICE_STALE: reference=NaN"),
    ],
)
def test_standing(change: dict[str, object], expected: str) -> None:
    now = replace(NOW, **change)  # type: ignore[arg-type]
    assert reason(now=now) == expected
    reducing = reason(replace(ORDER, reduce_only=True), replace(FLAT, position=None), now)
    assert reducing == ("VENUE_DISABLED" if expected == "VENUE_DISABLED" else None)


sizes = st.integers(0, 100).map(lambda number: number * D("0.001"))
positions = st.integers(-100, 100).map(lambda number: number * D("0.001"))


@given(
    side=st.sampled_from(Side),
    amount=st.integers(2, 100).map(lambda number: number * D("0.001")),
    position=positions,
    buying=sizes,
    selling=sizes,
)
def test_whatever_fills_an_approved_order_never_enlarges_a_position_beyond_the_limit(
    side: Side, amount: Decimal, position: Decimal, buying: Decimal, selling: Decimal
) -> None:
    order = replace(ORDER, side=side, amount=amount)
    holding = Holding(position, buying, selling, has_unknown_order=False)
    if reason(order, holding) is not None:
        return
    towards = buying if side is Side.BUY else selling
    before = position + side.sign * towards
    after = before + side.sign * amount
    assert abs(after) * D(60_000) <= D(1_200) or abs(after) <= abs(before)
