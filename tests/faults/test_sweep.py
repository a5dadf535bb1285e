"""C02 · Killed at any database statement, commit or socket write, nothing is lost or doubled."""

from functools import partial

import pytest

from tests.faults.rig.flows import FLOWS
from tests.faults.rig.sweep import crucial, sweep

MOST = {"open-hedge": 5, "close-hedge": 4, "cancel": 3, "emergency-stop": 3}
"""A sample of what cannot be taken back; `make faults` kills at every point."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", FLOWS)
def test_c02_a_flow_killed_anywhere_recovers_whole(transactional_db: None, flow: str) -> None:
    made = sweep(flow, choose=partial(crucial, most=MOST[flow]), fresh=lambda: None)
    assert len(made.killed) >= MOST[flow] - 1  # the last may lie beyond a shorter run's end
    assert max(made.killed) <= made.points
    assert max(made.known) <= 30


def test_crucial_points_are_around_writes_and_after_commits() -> None:
    points = ["db SELECT", "db COMMIT", "write 9 bytes", "after write 9 bytes", "db SELECT"]
    points += ["db COMMIT", "db SELECT"]
    assert list(crucial(points, most=9)) == [3, 4, 7]
    assert list(crucial(points, most=2)) == [3, 7]
