"""A, D · Orders under faults drawn from seeds: everything becomes known, nothing is doubled."""

from pathlib import Path

import pytest

from tests.faults.rig.schedules import schedules

SAVED = Path(__file__).with_name("seeds.txt")
"""Seeds that once found something, one a line, with what they found."""
OTHERS = range(1, 25)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_seeded_faults_lose_nothing_and_double_nothing(transactional_db: None) -> None:
    saved = [int(line.split()[0]) for line in SAVED.read_text().splitlines() if line.strip()]
    made = schedules([*saved, *OTHERS], fresh=lambda: None)
    assert made.broken == []
    assert made.seeds == len(saved) + len(OTHERS)
    assert made.unknown > made.orders / 3
    assert made.withheld < made.orders / 3
