"""A wrong argument ends a command with code 2 and names the value."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--port", "99999"),
        ("up", "--port", "-1"),
        ("demo", "--port", "x"),
        ("demo", "--seconds", "-5"),
        ("demo", "--seconds", "0"),
        ("run_paper_venue", "--port", "65536"),
    ],
)
def test_a_number_out_of_range_is_refused(arguments: tuple[str, ...]) -> None:
    run = subprocess.run(
        [sys.executable, "manage.py", *arguments], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 2
    assert f"{arguments[-1]!r} is not a whole number from" in run.stderr
