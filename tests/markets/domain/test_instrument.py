"""The laws of rounding, and the venue's filters, for any step."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.errors import Denied
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import Side

STEPS = st.one_of(
    st.sampled_from(
        [Decimal(text) for text in ("0.1", "0.5", "0.0005", "25", "3", "0.07", "1E+2")]
    ),
    st.decimals("0.000001", 1000, places=6).filter(lambda step: step > 0),
)
AMOUNTS = st.decimals(-(10**9), 10**9, places=12)
PRICES = st.decimals("0.000000000001", 10**9, places=12)


def spec(**changes: Any) -> InstrumentSpec:
    values: dict[str, Any] = {
        "venue_symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "contract_size": Decimal(1),
        "tick": Decimal("0.1"),
        "lot": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "min_notional": Decimal(100),
        "max_qty": Decimal(1000),
        "max_market_qty": Decimal(120),
    }
    return InstrumentSpec(**{**values, **changes})


@given(AMOUNTS, STEPS)
def test_rounding_a_size_never_exceeds_the_plan(amount: Decimal, lot: Decimal) -> None:
    floored = spec(lot=lot).floor_size(amount)
    assert abs(floored) <= abs(amount)
    assert abs(amount) - abs(floored) < lot
    assert floored % lot == 0
    assert floored * amount >= 0


@given(AMOUNTS, STEPS)
def test_rounding_a_size_twice_changes_nothing_more(amount: Decimal, lot: Decimal) -> None:
    instrument = spec(lot=lot)
    floored = instrument.floor_size(amount)
    assert instrument.floor_size(floored) == floored


@given(PRICES, STEPS, st.sampled_from(Side))
def test_passive_rounding_never_crosses(price: Decimal, tick: Decimal, side: Side) -> None:
    rounded = spec(tick=tick).price_toward_passive(side, price)
    assert rounded % tick == 0
    assert 0 <= (price - rounded) * side.sign < tick


@given(PRICES, STEPS, st.sampled_from(Side))
def test_aggressive_rounding_never_gives_up_reach(
    price: Decimal, tick: Decimal, side: Side
) -> None:
    rounded = spec(tick=tick).price_toward_aggressive(side, price)
    assert rounded % tick == 0
    assert 0 <= (rounded - price) * side.sign < tick


@given(PRICES, STEPS, st.sampled_from(Side))
def test_a_price_on_tick_stays(price: Decimal, tick: Decimal, side: Side) -> None:
    instrument = spec(tick=tick)
    on_tick = instrument.price_toward_aggressive(Side.BUY, price)
    assert instrument.price_toward_passive(side, on_tick) == on_tick
    assert instrument.price_toward_aggressive(side, on_tick) == on_tick


@given(st.decimals(-1000, 1000, places=9), st.decimals(1, 10**6, places=6))
def test_only_what_is_large_and_worth_enough_passes_the_check(
    amount: Decimal, price: Decimal
) -> None:
    instrument = spec()
    size = abs(instrument.floor_size(amount))
    limit = instrument.price_toward_passive(Side.SELL, price)
    is_enough = size >= instrument.min_qty and size * limit >= instrument.min_notional
    assert instrument.is_tradable(size, limit) == is_enough


def test_quotient_with_endless_digits_is_not_rounded_up() -> None:
    assert spec(lot=Decimal(3)).floor_size(Decimal("299999999999999999.999999999999999999")) == (
        Decimal("299999999999999997")
    )
    assert str(spec().floor_size(Decimal("-0.0004"))) == "0.000"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"amount": "0.0015"}, "AMOUNT_NOT_ON_LOT"),
        ({"amount": "0"}, "AMOUNT_NOT_ON_LOT"),
        ({"amount": "-1"}, "AMOUNT_NOT_ON_LOT"),
        ({"amount": "NaN"}, "AMOUNT_NOT_ON_LOT"),
        ({"price": "0"}, "PRICE_NOT_POSITIVE"),
        ({"price": "Infinity"}, "PRICE_NOT_POSITIVE"),
        ({"price": "60000.05"}, "PRICE_NOT_ON_TICK"),
        ({"amount": "1001"}, "AMOUNT_ABOVE_MAXIMUM"),
        ({"amount": "121", "is_market": True}, "AMOUNT_ABOVE_MAXIMUM"),
        ({"amount": "0.001"}, "NOTIONAL_BELOW_MINIMUM"),
    ],
)
def test_order_outside_the_filters_is_denied_with_the_numbers(
    order: dict[str, Any], code: str
) -> None:
    amount = Decimal(order.pop("amount", "0.01"))
    price = Decimal(order.pop("price", "60000.1"))
    with pytest.raises(Denied) as denied:
        spec().check_order(amount, price, **order)
    assert denied.value.code == code
    assert not spec().is_tradable(amount, price, **order)


def test_smallest_size_binds() -> None:
    with pytest.raises(Denied) as denied:
        spec(min_qty=Decimal("0.01")).check_order(Decimal("0.005"), Decimal(60000))
    assert denied.value.details == {"amount": "0.005", "minimum": "0.01"}


def test_smallest_notional_does_not_bind_reduce_only() -> None:
    spec().check_order(Decimal("0.001"), Decimal(60000), reduce_only=True)


def test_contract_size_is_never_assumed() -> None:
    for bad in ("0", "-1", "NaN"):
        with pytest.raises(ValueError, match="contract_size"):
            spec(contract_size=Decimal(bad))
    assert spec(contract_size=Decimal("0.1")).contracts(Decimal("-0.5")) == -5
