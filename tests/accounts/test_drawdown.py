"""Drawdowns across transfers: what is paid in is no gain, what is paid out no loss."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.drawdown import Flow, Stretch, moved, peak_of, peaks, spans
from accounts.domain.risk.standing import drawdown_percent

AT = datetime(2026, 1, 2, 12, tzinfo=UTC)
D = Decimal


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("peak", "equity", "amount", "expected"),
    [
        ("1000", "1000", "-500", "500"),  # at its peak: the peak goes along
        ("1000", "1000", "500", "1500"),
        ("1000", "900", "-800", "111.1111111111111111111111111"),  # 10 % down before and after
        ("1000", "900", "9000", "11000"),
        ("1200", "1000", "-1000", "0"),  # all of it: what comes later begins anew
        ("1200", "1000", "-1050", "0"),
        ("1000", "0", "500", "1500"),  # all was lost: it stays lost
        ("1000", "-20", "500", "1500"),
    ],
)
def test_a_peak_moves_by_the_share_of_equity_that_a_transfer_is(
    peak: str, equity: str, amount: str, expected: str
) -> None:
    assert moved(D(peak), equity=D(equity), amount=D(amount)) == D(expected)


MONEY = st.decimals(1, 1_000_000, places=2)


@given(MONEY, MONEY, st.decimals(-1_000_000, 1_000_000, places=2))
def test_a_transfer_changes_no_drawdown(high: Decimal, low: Decimal, amount: Decimal) -> None:
    peak, equity = max(high, low), min(high, low)
    if equity + amount <= 0:
        assert moved(peak, equity=equity, amount=amount) == 0
        return
    was = drawdown_percent(equity=equity, peak=peak)
    now = drawdown_percent(equity=equity + amount, peak=moved(peak, equity=equity, amount=amount))
    assert abs(now - was) < D("1e-15")


def stretch(highest: str, last: str) -> Stretch:
    return Stretch(D(highest), D(last))


def test_peaks_go_along_with_every_transfer() -> None:
    flows = [Flow(after(100), D(-500)), Flow(after(200), D(1500))]
    read = [stretch("1000", "1000"), stretch("500", "450"), stretch("1900", "1900")]
    assert peaks(read, flows) == [D(1000), D(500), D(500) * D(1950) / D(450)]


def test_where_nothing_was_read_between_two_transfers_equity_is_what_the_first_left() -> None:
    flows = [Flow(after(100), D(-300)), Flow(after(101), D(-200))]
    assert peaks([stretch("1000", "1000"), Stretch(), Stretch()], flows) == [1000, 700, 500]


def test_nothing_read_before_a_transfer_leaves_no_peak_to_move() -> None:
    flows = [Flow(after(100), D(-300))]
    assert peaks([Stretch(), Stretch()], flows) == [None, None]
    assert peaks([Stretch(), stretch("700", "690")], flows) == [None, 700]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (74, "1000"),  # so long before that it cannot show the transfer
        (75, "500"),
        (100, "500"),
        (105, "500"),
        (106, "500"),
    ],
)
def test_a_reading_near_a_withdrawal_is_held_against_what_makes_the_smaller_drawdown(
    at: float, expected: str
) -> None:
    flows = [Flow(after(100), D(-500))]
    assert peak_of([stretch("1000", "1000"), Stretch()], flows, at=after(at)) == D(expected)


@pytest.mark.parametrize(("at", "expected"), [(75, "1000"), (105, "1000"), (106, "1500")])
def test_a_reading_near_a_deposit_may_lack_it(at: float, expected: str) -> None:
    flows = [Flow(after(100), D(500))]
    assert peak_of([stretch("1000", "1000"), Stretch()], flows, at=after(at)) == D(expected)


def test_readings_that_may_show_a_transfer_or_not_are_on_no_side() -> None:
    flows = [Flow(after(100), D(1)), Flow(after(110), D(1))]
    assert spans(flows, since=AT, until=after(500)) == [
        (AT, after(75)),
        (after(105), after(85)),  # nothing is certain between the two
        (after(115), after(500)),
    ]
