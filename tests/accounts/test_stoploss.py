"""Stop-loss rules: what is a breach, and that one tick never trips."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.choices import StopLossAction
from accounts.domain.stoploss import (
    Breach,
    Doubt,
    LossLimit,
    LossReading,
    LossRule,
    Tripped,
    breaches,
    seen_again,
    trips,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
D = Decimal


def limit(rule: LossRule, most: str, action: str = "pause", confirmations: int = 3) -> LossLimit:
    return LossLimit(rule, D(most), StopLossAction(action), confirmations, timedelta(hours=1))


def reading(
    equity: str, day_peak: str = "100", peak: str = "200", worst_position: str = "0"
) -> LossReading:
    return LossReading(AT, D(equity), D(day_peak), D(peak), D(worst_position))


@pytest.mark.parametrize(
    ("rule", "most", "seen", "value"),
    [
        (LossRule.DAILY_DRAWDOWN, "5", reading("95"), None),  # at the limit is not beyond it
        (LossRule.DAILY_DRAWDOWN, "5", reading("94"), "6"),
        (LossRule.ENVELOPE_DRAWDOWN, "5", reading("94"), "6"),
        (LossRule.PEAK_DRAWDOWN, "50", reading("100"), None),
        (LossRule.PEAK_DRAWDOWN, "50", reading("98"), "51"),
        (LossRule.PEAK_DRAWDOWN, "1", reading("300"), None),  # a new high is no drawdown
        (LossRule.POSITION_LOSS, "10", reading("100", worst_position="10"), None),
        (LossRule.POSITION_LOSS, "10", reading("100", worst_position="10.5"), "10.5"),
    ],
)
def test_a_breach_is_more_than_the_limit(
    rule: LossRule, most: str, seen: LossReading, value: str | None
) -> None:
    found = [breach.value for breach in breaches([limit(rule, most)], seen)]
    assert found == ([] if value is None else [D(value)])


def test_the_gravest_action_comes_first() -> None:
    limits = [
        limit(LossRule.DAILY_DRAWDOWN, "1", "pause"),
        limit(LossRule.PEAK_DRAWDOWN, "1", "flatten"),
        limit(LossRule.POSITION_LOSS, "1", "reduce"),
    ]
    found = breaches(limits, reading("50", worst_position="5"))
    assert [breach.limit.action for breach in found] == ["flatten", "reduce", "pause"]


@given(st.integers(2, 6), st.integers(1, 20))
def test_one_reading_however_often_seen_never_trips(confirmations: int, looks: int) -> None:
    breach = Breach(limit(LossRule.DAILY_DRAWDOWN, "1", confirmations=confirmations), D(9))
    doubt: Doubt | None = None
    for _ in range(looks):
        doubt = seen_again(doubt, at=AT)
    assert doubt == Doubt(1, AT)
    assert not trips(breach, doubt, last=None, now=AT)


def test_it_trips_at_the_last_confirmation_and_not_within_the_cool_down() -> None:
    breach = Breach(limit(LossRule.DAILY_DRAWDOWN, "1"), D(9))
    doubts = [Doubt(count, AT) for count in (1, 2, 3, 4)]
    assert [trips(breach, it, last=None, now=AT) for it in doubts] == [False] * 2 + [True] * 2
    soon, later = AT + timedelta(minutes=59), AT + timedelta(hours=1)
    last = Tripped(AT, StopLossAction.PAUSE)
    assert not trips(breach, doubts[3], last=last, now=soon)
    assert trips(breach, doubts[3], last=last, now=later)


@pytest.mark.parametrize(
    ("before", "action", "acts"),
    [
        ("pause", "flatten", True),
        ("pause", "reduce", True),
        ("pause", "pause", False),
        ("flatten", "reduce", False),
        (None, "flatten", False),
    ],
)
def test_a_lesser_action_before_keeps_no_graver_one_back(
    before: str | None, action: str, acts: bool
) -> None:
    last = Tripped(AT, None if before is None else StopLossAction(before))
    breach = Breach(limit(LossRule.DAILY_DRAWDOWN, "1", action), D(9))
    assert trips(breach, Doubt(3, AT), last=last, now=AT + timedelta(minutes=1)) is acts
