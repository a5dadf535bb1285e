"""E06 · Two workers with the same job make one order."""

import pytest

from tests.faults.rig.dispatch import dispatches


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_e06_two_workers_with_the_same_job_make_one_order_each_time(transactional_db: None) -> None:
    made = dispatches(60, fresh=lambda: None)
    assert (made.rounds, made.orders) == (60, 60)
