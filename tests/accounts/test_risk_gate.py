"""The gate: codes, numbers, and what it never stands in the way of."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.risk import (
    AccountStanding,
    Circumstances,
    Holding,
    LimitScope,
    OrderTerms,
    RiskLimits,
    ScopeLimits,
    ScopeSums,
    Tally,
    denial,
)
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import OrderType, Side

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
    account_is_reconciled=True,
    venue_is_enabled=True,
    module_is_enabled=True,
    instrument_is_active=True,
    instrument_is_frozen=False,
    reference=D(60_000),
    limits=RiskLimits(
        max_position_value=D(1_200),
        max_leverage=D(5),
        max_drawdown_percent=D(10),
        slippage_tolerance_percent=D("0.5"),
        delta_threshold=D("0.0005"),
    ),
)
HEALTHY = AccountStanding(equity=D(1_000), peak=D(1_000), sums=ScopeSums())


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
        ({"account_is_reconciled": False}, "ACCOUNT_NOT_RECONCILED"),
        ({"venue_is_enabled": False}, "VENUE_DISABLED"),
        ({"module_is_enabled": False}, "MODULE_NOT_ENABLED"),
        ({"instrument_is_active": False}, "INSTRUMENT_NOT_ACTIVE"),
        ({"instrument_is_frozen": True}, "INSTRUMENT_FROZEN"),
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


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (HEALTHY, None),
        (replace(HEALTHY, equity=None), "EQUITY_UNKNOWN"),
        (replace(HEALTHY, equity=D(0)), "EQUITY_NOT_POSITIVE: equity=0"),
        (replace(HEALTHY, peak=D("1111.11")), None),
        (
            replace(HEALTHY, peak=D(1_250)),
            "DRAWDOWN_EXCEEDS_MAXIMUM: drawdown=20, maximum=10, equity=1000, peak=1250",
        ),
        # The order is worth 600 USD: 4,400 USD more make five times the equity.
        (replace(HEALTHY, sums=ScopeSums(long=D(2_000), short=D(1_000), selling=D(1_400))), None),
        (
            replace(HEALTHY, sums=ScopeSums(long=D(2_000), short=D(1_000), selling=D(1_410))),
            "LEVERAGE_EXCEEDS_MAXIMUM: leverage=5.01, maximum=5",
        ),
        (
            replace(HEALTHY, sums=ScopeSums(unpriced="ETH")),
            "EXPOSURE_UNKNOWN: scope=account, symbol=ETH",
        ),
        (None, None),
    ],
)
def test_how_the_account_stands(standing: AccountStanding | None, expected: str | None) -> None:
    now = replace(NOW, standing=standing)
    assert reason(now=now) == expected
    assert reason(replace(ORDER, reduce_only=True), now=now) is None


FIRM = ScopeLimits(LimitScope.FIRM, "")
HELD = ScopeSums(long=D(1_000), short=D(400), buying=D(50), selling=D(30))


@pytest.mark.parametrize(
    ("side", "limits", "sums", "expected"),
    [
        (Side.BUY, FIRM, HELD, None),
        (Side.BUY, replace(FIRM, max_order_value=D(600)), HELD, None),
        (
            Side.BUY,
            replace(FIRM, max_order_value=D(599)),
            HELD,
            "ORDER_VALUE_EXCEEDS_MAXIMUM: scope=firm, value=600, maximum=599",
        ),
        (Side.BUY, replace(FIRM, max_long_value=D(1_650)), HELD, None),
        (
            Side.BUY,
            replace(FIRM, max_long_value=D(1_649)),
            HELD,
            "LONG_EXCEEDS_MAXIMUM: scope=firm, value=1650, maximum=1649",
        ),
        (Side.SELL, replace(FIRM, max_long_value=D(1)), HELD, None),
        (
            Side.SELL,
            ScopeLimits(LimitScope.VENUE, "east", max_short_value=D(1_029)),
            HELD,
            "SHORT_EXCEEDS_MAXIMUM: scope=venue:east, value=1030, maximum=1029",
        ),
        (
            Side.SELL,
            ScopeLimits(LimitScope.MODULE, "funding", max_gross_value=D(2_079)),
            HELD,
            "GROSS_EXCEEDS_MAXIMUM: scope=module:funding, value=2080, maximum=2079",
        ),
        (Side.BUY, replace(FIRM, max_net_value=D(1_250)), HELD, None),
        (
            Side.BUY,
            replace(FIRM, max_net_value=D(1_249)),
            HELD,
            "NET_EXCEEDS_MAXIMUM: scope=firm, value=1250, maximum=1249",
        ),
        # 600 sold of a net 600 - 30 = 570 leave 30 short.
        (Side.SELL, replace(FIRM, max_net_value=D(30)), HELD, None),
        (
            Side.SELL,
            replace(FIRM, max_net_value=D(29)),
            HELD,
            "NET_EXCEEDS_MAXIMUM: scope=firm, value=30, maximum=29",
        ),
        (Side.BUY, FIRM, ScopeSums(unpriced="ETH"), None),
        (
            Side.BUY,
            replace(FIRM, max_net_value=D(10**9)),
            ScopeSums(unpriced="ETH"),
            "EXPOSURE_UNKNOWN: scope=firm, symbol=ETH",
        ),
    ],
)
def test_what_a_scope_may_hold(
    side: Side, limits: ScopeLimits, sums: ScopeSums, expected: str | None
) -> None:
    now = replace(NOW, tallies=(Tally(limits, sums, orders=0),))
    assert reason(replace(ORDER, side=side), now=now) == expected
    assert reason(replace(ORDER, side=side, reduce_only=True), now=now) is None


def test_a_scope_sends_so_many_orders_a_minute_and_no_more() -> None:
    limits = replace(FIRM, max_orders_per_minute=3)
    two, three = (Tally(limits, HELD, orders) for orders in (2, 3))
    assert reason(now=replace(NOW, tallies=(two,))) is None
    tired = replace(NOW, tallies=(three,))
    assert reason(now=tired) == "ORDER_RATE_EXCEEDED: scope=firm, orders=3, maximum=3"
    assert reason(replace(ORDER, reduce_only=True), now=tired) is None


def test_the_same_order_twice_in_a_moment_is_a_slip() -> None:
    again = replace(NOW, twin="0192")
    assert reason(now=again) == "DUPLICATE_ORDER: intent=0192"
    assert reason(replace(ORDER, reduce_only=True), now=again) is None


usd = st.integers(0, 3_000).map(Decimal)


@given(
    side=st.sampled_from(Side),
    sums=st.builds(ScopeSums, long=usd, short=usd, buying=usd, selling=usd),
    fills=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_whichever_orders_fill_an_approved_one_keeps_every_limit(
    side: Side, sums: ScopeSums, fills: list[bool]
) -> None:
    limits = ScopeLimits(
        LimitScope.FIRM,
        "",
        max_long_value=D(2_000),
        max_short_value=D(1_500),
        max_gross_value=D(2_500),
        max_net_value=D(1_000),
    )
    if reason(replace(ORDER, side=side), now=replace(NOW, tallies=(Tally(limits, sums, 0),))):
        return
    bought, sold, ours = fills
    long = sums.long + bought * sums.buying + (ours and side is Side.BUY) * D(600)
    short = sums.short + sold * sums.selling + (ours and side is Side.SELL) * D(600)
    assert long <= D(2_000) or side is Side.SELL
    assert short <= D(1_500) or side is Side.BUY
    assert long + short <= D(2_500)
    assert (long - short if side is Side.BUY else short - long) <= D(1_000)
