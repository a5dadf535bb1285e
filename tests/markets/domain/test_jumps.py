"""Which leaps of a price are believed, and the way back when the market really moved."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.jumps import REPEATS, JumpGuard

D = Decimal


def guard(level: str = "100") -> JumpGuard:
    made = JumpGuard()
    assert made.believes_mark(D(level), 0.0, top_is_fresh=False)
    assert made.believes_top(D(level), 0.0, mark_is_fresh=True)
    return made


@pytest.mark.parametrize(
    ("price", "expected"),
    [("109", True), ("111", False), ("89", False), ("200", False), ("0.01", False), ("91", True)],
)
def test_a_leap_beyond_a_tenth_is_not_believed(price: str, expected: bool) -> None:
    assert guard().believes_top(D(price), 1.0, mark_is_fresh=True) is expected


def test_a_leap_that_the_mark_follows_is_believed() -> None:
    it = guard()
    assert not it.believes_top(D(130), 1.0, mark_is_fresh=True)
    assert it.believes_mark(D(131), 1.5, top_is_fresh=True)
    assert it.believes_top(D(131), 1.6, mark_is_fresh=True)


def test_a_leap_that_the_mark_has_made_before_is_believed_at_once() -> None:
    it = guard()
    assert not it.believes_mark(D(130), 1.0, top_is_fresh=True)
    assert it.believes_top(D(130), 1.1, mark_is_fresh=True)


def test_nothing_repeated_beats_a_mark_that_lives() -> None:
    it = guard()
    seen = [it.believes_top(D(200), at / 10, mark_is_fresh=True) for at in range(10, 200)]
    assert not any(seen)


def test_without_a_mark_a_leap_is_believed_when_it_stays() -> None:
    it = guard()
    seen = [it.believes_top(D(200), 10 + at / 2, mark_is_fresh=False) for at in range(5)]
    assert seen == [False] * (REPEATS - 1) + [True]
    burst = guard()
    assert not any(burst.believes_top(D(200), 10.0, mark_is_fresh=False) for _ in range(100))


def test_leaps_to_here_and_there_never_add_up() -> None:
    it = guard()
    seen = [
        it.believes_top(D(200 if at % 2 else 50), 10.0 + at, mark_is_fresh=False)
        for at in range(50)
    ]
    assert not any(seen)


def test_first_top_is_held_against_the_mark() -> None:
    it = JumpGuard()
    assert it.believes_mark(D(100), 0.0, top_is_fresh=False)
    assert not it.believes_top(D(200), 0.1, mark_is_fresh=True)
    assert it.believes_top(D(101), 0.2, mark_is_fresh=True)


@given(st.lists(st.decimals(D("0.001"), D(10_000), places=3), min_size=1, max_size=60))
def test_what_is_believed_under_a_living_mark_stays_near_it(prices: list[Decimal]) -> None:
    it = guard()
    for number, price in enumerate(prices):
        now = 1 + number / 10
        assert it.believes_mark(D(100), now, top_is_fresh=True)
        if it.believes_top(price, now, mark_is_fresh=True):
            low, high = it.band()
            assert low <= price <= high
