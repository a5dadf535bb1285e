"""What a price move would make of an account."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.whatif import AccountAfter, HeldPosition, what_if

D = Decimal
LONG = HeldPosition("BTCUSDT", D(2), D(50_000), D(40_000))
SHORT = HeldPosition("ETHUSDT", D(-10), D(2_500), D(3_000))


def after(*positions: HeldPosition, move: str = "0", **figures: Any) -> AccountAfter:
    known = {"equity": D(20_000), "initial_margin": D(10_000), **figures}
    return what_if(positions, move=D(move), **known)


def test_a_fall_costs_the_long_and_pays_the_short() -> None:
    found = after(LONG, SHORT, move="-0.1")
    assert [item.result for item in found.positions] == [D(-10_000), D(2_500)]
    assert (found.equity, found.initial_margin) == (D(12_500), D(9_000))
    assert found.utilization == D("0.72")
    assert [item.distance for item in found.positions] == [D(5) / D(45), D(750) / D(2_250)]
    assert found.distance == D(5) / D(45)


def test_past_its_liquidation_the_distance_is_not_above_zero() -> None:
    assert after(LONG, move="-0.2").distance == 0
    assert after(SHORT, move="0.25").distance == D(-125) / D(3_125)


def test_what_is_unknown_stays_unknown() -> None:
    unmarked = HeldPosition("X", D(1), None, D(1))
    assert after(unmarked).equity is None
    assert after(unmarked).utilization is None
    assert after(LONG, equity=None).utilization is None
    assert after(LONG, initial_margin=None).utilization is None
    assert after(LONG, equity=D(1), move="-0.5").utilization is None  # nothing is left of it
    nameless = HeldPosition("X", D(1), D(5), None)
    assert after(nameless).distance is None


@given(st.decimals("-0.99", "3", places=3), st.decimals("-5", "5", places=2))
def test_a_neutral_account_keeps_its_equity_whatever_prices_do(
    move: Decimal, size: Decimal
) -> None:
    held = [HeldPosition("a", size, D(100), None), HeldPosition("b", -size, D(100), None)]
    found = what_if(held, equity=D(1000), initial_margin=D(10), move=move)
    assert found.equity == 1000
