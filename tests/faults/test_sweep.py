"""C02 · Killed at any database statement, commit or socket write, nothing is lost or doubled."""

import pytest

from tests.faults.rig.flows import FLOWS
from tests.faults.rig.sweep import sweep

STRIDES = {"open-hedge": 31, "close-hedge": 53, "cancel": 4, "emergency-stop": 27}
"""A sample here; `make faults` kills at every point."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", FLOWS)
def test_c02_a_flow_killed_anywhere_recovers_whole(transactional_db: None, flow: str) -> None:
    stride = STRIDES[flow]
    made = sweep(flow, stride=stride, first=stride // 2, fresh=lambda: None)
    assert made.points > made.killed[-1]
    assert len(made.killed) >= 3
    assert max(made.known) <= 30
