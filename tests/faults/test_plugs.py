"""C03 · The plug is pulled in the middle of trading; afterwards ledgers and database are equal."""

from pathlib import Path

import pytest

from tests.faults.rig.plugs import pulled


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_c03_everything_killed_while_trading_comes_back_knowing_all(tmp_path: Path) -> None:
    made = pulled(1, tmp_path)
    assert (made["pulled"], len(made["agreed"])) == (1, 2)
    assert made["killed"][0] >= 8  # supervisor, web, feeds, sentinel, workers, PostgreSQL
    assert made["fills"] > 0
