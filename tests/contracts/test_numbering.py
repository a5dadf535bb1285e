"""The numbered list and the tests agree, and no adapter is without its kit."""

import re
from collections import Counter
from pathlib import Path

from markets.venues.registry import DIALECTS, GENERIC
from tests.contracts.behaviours import BEHAVIOURS
from tests.contracts.kits import KITS

TEST = re.compile(r"^(?:async )?def test_(c\w\w)_", re.MULTILINE)


def test_each_numbered_behaviour_has_one_test_and_each_test_a_number() -> None:
    here = Path(__file__).parent
    texts = [path.read_text() for path in here.glob("test_*.py") if path != Path(__file__)]
    numbers = Counter(number for text in texts for number in TEST.findall(text))
    assert dict(numbers) == dict.fromkeys(BEHAVIOURS, 1)


def test_every_contract_runs_against_every_kit() -> None:
    here = Path(__file__).parent
    for path in here.glob("test_*.py"):
        for test in re.split(r"(?m)^(?=(?:async )?def )", path.read_text()):
            if TEST.match(test):
                assert "kit: Kit" in test.split(":\n", 1)[0], test[:80]


def test_every_dialect_of_our_own_has_a_kit() -> None:
    assert set(KITS) == set(DIALECTS) - {GENERIC}
    assert {kit().dialect for kit in KITS.values()} == set(KITS)
