"""The lists of guards and of fault rows name tests that exist."""

import re
from pathlib import Path

import pytest

from tests.faults import guards

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


def test_every_guard_can_be_taken_out_as_the_list_says() -> None:
    for removal in guards.removals():
        assert removal.text(guards.ROOT)


def test_a_way_to_take_a_guard_out_that_no_longer_applies_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = 'guard = "an old claim is not sent"\nfile = "manage.py"\nold = "#!/bin/sh"\nnew = ""'
    way = tmp_path / "guards.toml"
    way.write_text(f"[[without]]\n{entry}\n")
    monkeypatch.setattr(guards, "REMOVALS", way)
    assert guards.main(["old claim"]) == 2
    assert "found 0 times in manage.py" in capsys.readouterr().err
    way.write_text(f"[[without]]\n{entry.replace('an old claim', 'a young claim')}\n")
    assert guards.main([]) == 2
    assert "has no guard 'a young claim is not sent'" in capsys.readouterr().err


def test_a_guard_is_seen_missed_only_when_its_test_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)  # the tree below is none of ours
    (tmp_path / "guard.py").write_text("GUARDED = True\n")
    test = tmp_path / "test_guard.py"
    test.write_text("import guard\n\n\ndef test_it() -> None:\n    assert guard.GUARDED\n")
    for old, new, seen in (
        ("True", "1 == 2", guards.Seen.FAILED),
        ("True", "bool(1)", guards.Seen.PASSED),
        ("GUARDED", "import", guards.Seen.BROKEN),
    ):
        removal = guards.Removal("it", "guard.py", old, new, ("test_guard.py::test_it",))
        assert guards.look(removal, tmp_path) is seen
        assert (tmp_path / "guard.py").read_text() == "GUARDED = True\n"
