"""Money against its record: what is explained, and when a difference is certain."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedging.domain.money import (
    CashCheck,
    CostedPosition,
    HeldCash,
    Settled,
    cash_of,
    check_cash,
    funding_gap,
    tolerance_of,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
D = Decimal


def held(cash: str, **fields: object) -> HeldCash:
    values = {
        "cash": D(cash),
        "tolerance": D("0.01"),
        "base": D(100),
        "flows": D(0),
        "unexplained": D(0),
        "since": None,
        "last_flow_at": None,
    }
    return HeldCash(**{**values, **fields})  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 1000), st.integers(0, 5)),
        max_size=30,
    )
)
def test_cash_moves_by_what_was_paid_however_positions_turn(
    trades: list[tuple[int, int, int]],
) -> None:
    """A venue that keeps an average entry price, and closes at it, through turns of side."""
    wallet, size, entry, flows = D(1000), D(0), D(0), D(0)
    for amount, price, fee in trades:
        after = size + amount
        if size * amount >= 0:
            entry = (size * entry + D(amount) * price) / after
        else:
            closed = min(abs(size), abs(D(amount))) * (1 if size > 0 else -1)
            wallet += closed * (price - entry)
            entry = D(price) if after * size < 0 else entry
        wallet, size = wallet - fee, after
        flows -= D(amount) * price + fee
    cash = cash_of(wallet, [CostedPosition(size, entry, D("0.1"))])
    assert abs(cash - 1000 - flows) < D("1e-15")


@pytest.mark.parametrize(
    ("seen", "read_at", "found"),
    [
        (held("100.01"), None, CashCheck(D(0), None, False)),  # rounding
        (held("150", flows=D(50)), None, CashCheck(D(0), None, False)),
        (held("150", base=None), None, CashCheck(D(0), None, False)),  # never looked at
        (held("150"), AT, CashCheck(D(50), AT, False)),  # just now
        (held("150", since=AT - 3 * SECOND, unexplained=D(50)), AT,
         CashCheck(D(50), AT - 3 * SECOND, True)),
        (held("150", since=AT - 3 * SECOND, unexplained=D(50)), AT - 4 * SECOND,
         CashCheck(D(50), AT - 3 * SECOND, False)),  # funding was not asked for since
        (held("150", since=AT - 3 * SECOND, unexplained=D(49)), AT,
         CashCheck(D(50), AT, False)),  # another difference
        (held("150", since=AT - 3 * SECOND, unexplained=D(50), last_flow_at=AT - SECOND), AT,
         CashCheck(D(50), AT - 3 * SECOND, False)),  # among trades it must last longer
        (held("150", since=AT - 15 * SECOND, unexplained=D(50), last_flow_at=AT - SECOND), AT,
         CashCheck(D(50), AT - 15 * SECOND, True)),
    ],
)  # fmt: skip
def test_a_difference_is_certain_when_it_lasts_and_funding_was_read_since(
    seen: HeldCash, read_at: datetime | None, found: CashCheck
) -> None:
    assert check_cash(seen, at=AT, read_at=read_at) == found


def test_tolerance_is_a_tick_of_every_entry_twice() -> None:
    positions = [CostedPosition(D(-2), D(100), D("0.1")), CostedPosition(D(1), D(5), D("0.01"))]
    assert tolerance_of(positions) == D("0.43")


@pytest.mark.parametrize(
    ("size", "paid", "gap"),
    [
        ("1", "-0.03", "0"),  # longs pay where the rate is positive
        ("-1", "0.03", "0"),
        ("1", "0.03", "0.0006"),  # the sign turned
        ("1", "0", "0.0003"),
        ("1", "-0.06", "-0.0003"),
        ("0", "0", "0"),
        ("0", "1", "1"),
    ],
)
def test_a_funding_gap_is_a_share_of_the_position_s_value(size: str, paid: str, gap: str) -> None:
    assert funding_gap(Settled(D("0.0003"), D(100), D(size), D(paid))) == D(gap)
