"""The model test: whatever is done to orders, in whatever order, the invariants hold."""

import pytest

from tests.faults.rig.machine import play

EXAMPLES = 6


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_is_done_to_orders_the_invariants_hold(transactional_db: None) -> None:
    made = play(EXAMPLES, first_seed=None, fresh=lambda: None)
    assert made.examples >= EXAMPLES
    assert made.orders > 0
