"""One wall time for all processes: our own clock while it is close to the database's."""

from dataclasses import dataclass

import pytest

from controlplane.kernel import clock
from controlplane.kernel.clock import APART_NS, CLOSE_NS, EXACT_NS, VALID_NS, AgreedClock

SECOND = 1_000_000_000
NOON = 1_790_000_000 * SECOND


@dataclass
class Machine:
    """This machine's clocks, of which the wall clock may be `wrong`; all in ns."""

    now: int = 0
    wrong: int = 0

    def time_ns(self) -> int:
        return NOON + self.now + self.wrong

    def clock_gettime_ns(self, _which: int) -> int:
        return self.now

    def read(self, agreed: AgreedClock, *, took: int = 0) -> None:
        """Read a database's clock that is right."""
        sent, self.now = self.now, self.now + took
        agreed.learn(NOON + sent + took // 2, sent_ns=sent, received_ns=self.now)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(clock, "time", made)
    return made


def test_before_the_first_reading_the_machines_own_clock_goes(machine: Machine) -> None:
    machine.wrong = 60 * SECOND
    agreed = AgreedClock()
    assert (agreed.now_ns(), agreed.is_doubtful) == (NOON + 60 * SECOND, True)
    assert (agreed.is_apart, agreed.ahead_ms) == (False, 0)


@pytest.mark.parametrize("wrong", [60 * SECOND, -60 * SECOND, APART_NS + 1, -APART_NS - 1])
def test_a_clock_that_is_off_is_not_believed(machine: Machine, wrong: int) -> None:
    machine.wrong = wrong
    agreed = AgreedClock()
    machine.read(agreed)
    assert agreed.now_ns() == NOON
    assert (agreed.is_apart, agreed.ahead_ms) == (True, wrong // 1_000_000)
    machine.now = 7 * SECOND
    assert agreed.now_ns() == NOON + 7 * SECOND


def test_a_clock_that_is_close_is_taken_as_it_is(machine: Machine) -> None:
    machine.wrong = APART_NS
    agreed = AgreedClock()
    machine.read(agreed)
    assert agreed.now_ns() == NOON + APART_NS
    assert (agreed.is_apart, agreed.ahead_ms, agreed.is_doubtful) == (False, 0, False)


def test_f02_a_step_back_makes_no_age_negative_and_is_looked_at_at_once(machine: Machine) -> None:
    agreed = AgreedClock()
    machine.read(agreed)
    machine.now = 5 * SECOND
    before = agreed.now_ns()
    machine.wrong, machine.now = -10 * SECOND, 6 * SECOND
    assert agreed.now_ns() - before == SECOND
    assert agreed.is_doubtful
    # All clocks of this machine were set, the database's too: that is the time from now on.
    agreed.learn(NOON - 4 * SECOND, sent_ns=machine.now, received_ns=machine.now)
    assert (agreed.now_ns(), agreed.is_apart) == (NOON - 4 * SECOND, False)


def test_a_clock_that_swings_around_the_bound_does_not_tell_two_times_in_turn(
    machine: Machine,
) -> None:
    agreed = AgreedClock()
    machine.read(agreed)
    machine.wrong = APART_NS + 1
    assert agreed.now_ns() == NOON
    machine.wrong = CLOSE_NS + 1
    assert agreed.now_ns() == NOON
    machine.wrong = CLOSE_NS
    assert agreed.now_ns() == NOON + CLOSE_NS


def test_a_reading_says_no_more_than_what_it_took_allows(machine: Machine) -> None:
    agreed, slow = AgreedClock(), 4 * SECOND
    machine.wrong = APART_NS + slow // 2
    machine.read(agreed, took=slow)
    assert agreed.now_ns() == NOON + slow + machine.wrong  # it may be right
    machine.read(agreed, took=EXACT_NS)
    assert agreed.now_ns() == NOON + machine.now
    agreed.learn(0, sent_ns=machine.now - slow, received_ns=machine.now)  # a busy machine's
    assert agreed.now_ns() == NOON + machine.now


def test_a_reading_is_made_again_when_it_is_old(machine: Machine) -> None:
    agreed = AgreedClock()
    machine.read(agreed)
    machine.now = VALID_NS
    assert not agreed.is_doubtful
    machine.now += 1
    assert agreed.is_doubtful
