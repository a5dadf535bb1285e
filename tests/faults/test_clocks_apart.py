"""F01, F02 · Programs whose clocks are off the database's, as real processes."""

from pathlib import Path

import pytest

from tests.faults.rig.arena import arena
from tests.faults.rig.clocks import Launched, apart
from tests.faults.rig.clocks_acts import play


@pytest.mark.timeout(600)  # real programs start here, on a machine that may be busy
@pytest.mark.parametrize("seconds", [60, -60])
def test_f01_programs_a_minute_off_the_database_send_once_in_time_and_stop(
    transactional_db: None, tmp_path: Path, seconds: int
) -> None:
    with arena() as made:
        with apart(made, tmp_path, Launched) as stage:
            play(stage, workers=seconds, sentinel=-seconds, feeds=seconds)
        made.settle()
        made.verify(f"clocks {seconds:+d} s apart")
