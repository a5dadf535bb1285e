"""The lists of guards and of fault rows name tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
LISTS = ("GUARDS.md", "ROWS.md")
NAMED = re.compile(r"`(test_[a-z0-9_]+)(…)?(?:\[[^`]*\])?`")
WRITTEN = re.compile(r"^\s*(?:async )?def (test_[a-z0-9_]+)", re.MULTILINE)


@pytest.mark.parametrize("name", LISTS)
def test_every_test_that_a_list_names_exists(name: str) -> None:
    written = {
        found for path in TESTS.rglob("test_*.py") for found in WRITTEN.findall(path.read_text())
    }
    named = NAMED.findall((TESTS / "faults" / name).read_text())
    missing = {
        test
        for test, is_begun in named
        if not (any(it.startswith(test) for it in written) if is_begun else test in written)
    }
    assert len(named) > 20
    assert not missing
