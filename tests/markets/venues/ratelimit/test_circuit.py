"""A venue that breaks is left in peace, asked now and then, and taken back."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from markets.venues.ratelimit.circuit import BROKEN, LUCK, WHOLE, Circuit
from markets.venues.ratelimit.terms import SECOND_NS


def opened(processes: int = 1) -> Circuit:
    circuit = Circuit(processes=processes)
    for _ in range(BROKEN):
        circuit.heard(is_failure=True, now_ns=0, luck=0)
    return circuit


def test_half_of_the_last_answers_failing_opens_it() -> None:
    circuit = Circuit(processes=1)
    for number in range(BROKEN - 1):
        circuit.heard(is_failure=True, now_ns=number, luck=0)
        circuit.heard(is_failure=False, now_ns=number, luck=0)
    assert (circuit.is_open, circuit.wait_ns(9)) == (False, 0)
    circuit.heard(is_failure=True, now_ns=9, luck=0)
    assert (circuit.is_open, circuit.wait_ns(9)) == (True, SECOND_NS)


def test_failures_of_long_ago_do_not_count() -> None:
    circuit = Circuit(processes=1)
    for number in range(BROKEN * 2):
        circuit.heard(is_failure=True, now_ns=number * 5 * SECOND_NS, luck=0)
    assert not circuit.is_open


def test_it_closes_after_some_good_answers_in_a_row() -> None:
    circuit = opened()
    for is_failure in (False, False, True, False, False):
        circuit.heard(is_failure=is_failure, now_ns=1, luck=0)
    assert circuit.is_open
    circuit.heard(is_failure=False, now_ns=1, luck=0)
    assert (circuit.is_open, WHOLE) == (False, 3)


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, LUCK - 1)), max_size=100),
    st.integers(1, 5),
)
def test_while_open_all_processes_together_ask_once_a_second_at_most(
    steps: list[tuple[int, int]], processes: int
) -> None:
    circuit, now, sent = opened(processes), 0, []
    for pause, luck in steps:
        now += pause * SECOND_NS // 1000
        if circuit.wait_ns(now) == 0:
            circuit.take(now, luck)
            sent.append(now)
    gaps = [after - before for before, after in itertools.pairwise(sent)]
    assert all(gap >= processes * SECOND_NS for gap in gaps)
