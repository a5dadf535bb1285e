"""How much more an account may hold, and what that ends at."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.headroom import Bound, Margins, headroom

D = Decimal


def room(**figures: Any) -> tuple[Decimal, str]:
    known = {"equity": D(1000), "initial_margin": D(0), "held": D(0), **figures}
    found = headroom(Margins(**known), max_leverage=D(5), utilization_max=D("0.8"))
    return found.value, found.bound


@pytest.mark.parametrize(
    ("figures", "value", "bound"),
    [
        ({}, "4000", Bound.UTILIZATION),  # 0.8 × 1000 ties up 4000 at 1/5
        ({"held": D(2000), "initial_margin": D(400)}, "2000", Bound.UTILIZATION),
        ({"held": D(2000), "initial_margin": D(600)}, 2000 / D(3), Bound.UTILIZATION),  # at 0.3
        ({"held": D(4900), "initial_margin": D(100)}, "100", Bound.LEVERAGE),
        ({"coming": D(1500)}, "2500", Bound.UTILIZATION),
        ({"held": D(6000), "initial_margin": D(900)}, "0", Bound.LEVERAGE),
        ({"equity": None}, "0", Bound.MARGIN_UNKNOWN),
        ({"initial_margin": None}, "0", Bound.MARGIN_UNKNOWN),
        ({"held": None}, "0", Bound.EXPOSURE_UNKNOWN),
        ({"equity": D(-5)}, "0", Bound.LEVERAGE),
    ],
)
def test_headroom_ends_at_the_nearer_of_leverage_and_band(
    figures: dict[str, Any], value: str | Decimal, bound: str
) -> None:
    found, what = room(**figures)
    assert abs(found - D(value)) < D("1e-20")
    assert what == bound or found == 0


money = st.decimals("0", "1000000", places=2)


@given(money, money, money, money)
def test_what_headroom_allows_keeps_leverage_and_band(
    equity: Decimal, margin: Decimal, held: Decimal, coming: Decimal
) -> None:
    added, _bound = room(equity=equity, initial_margin=margin, held=held, coming=coming)
    if added > 0:
        rate = max(D("0.2"), margin / held if held else D(0))
        assert held + coming + added <= 5 * equity * D("1.000001")
        assert margin + rate * (coming + added) <= D("0.8") * equity * D("1.000001")
