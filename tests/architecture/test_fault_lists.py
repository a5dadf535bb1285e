"""The lists of guards and of fault rows name tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from markets.venues.paper.faults import FaultKind
from tests.faults import guards

TESTS = Path(__file__).resolve().parent.parent
LISTS = ("GUARDS.md", "ROWS.md")
HERE = "test_a_guard_that_nobody_can_take_out_is_named"
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
    ways = guards.removals()
    for removal in ways:
        assert removal.text(guards.ROOT)
    assert {way.guard for way in ways} == set(guards.guards())
    assert len({way.key for way in ways}) == len(ways)


def test_each_fault_of_the_paper_venue_is_switched_off_once() -> None:
    off = [way.which for way in guards.removals() if way.file.endswith("paper/faults/board.py")]
    assert sorted(off) == sorted(FaultKind.__members__)


def test_a_guard_that_nobody_can_take_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "GUARDS.md"
    rows.write_text(f"{guards.LIST.read_text()}| a new one | `somewhere` | `{HERE}` |\n")
    monkeypatch.setattr(guards, "LIST", rows)
    assert guards.main(["--list", "new one"]) == 1
    assert capsys.readouterr() == ("", "No way to take it out: a new one\n")
    assert guards.main(["--list"]) == 1
    assert guards.main(["--list", "an old claim"]) == 0
    assert guards.main(["--list", "no such guard"]) == 2


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


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[guards.Runner]:
    """What runs tests in a tree of one guard and its test, beside one that fails anyhow."""
    for name in ("DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)  # this tree is none of ours
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "guard.py").write_text("GUARDED = True\n")
    (tree / "test_guard.py").write_text(
        "import guard\n\n\ndef test_it() -> None:\n    assert guard.GUARDED\n\n\n"
        "def test_bad() -> None:\n    assert not guard.GUARDED\n"
    )
    with guards.runner(tree) as made:
        yield made


def removal(old: str, new: str, test: str = "it") -> guards.Removal:
    return guards.Removal("it", "guard.py", old, new, (f"test_guard.py::test_{test}",))


def test_a_guard_is_seen_missed_only_when_its_test_fails(running: guards.Runner) -> None:
    for old, new, seen in (
        ("True", "1 == 2", guards.Seen.FAILED),
        ("True", "bool(1)", guards.Seen.PASSED),
        ("GUARDED", "import", guards.Seen.BROKEN),
    ):
        assert running.look(removal(old, new)).seen is seen
        assert (running.copy / "guard.py").read_text() == "GUARDED = True\n"


def test_a_round_goes_on_where_the_last_one_of_the_same_tree_ended(
    running: guards.Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [removal("True", "False"), removal("True", "1 == 2", "bad")]
    file = tmp_path / "kept"

    def go() -> tuple[list[str], int]:
        done = guards.Round(wanted, running, guards.Kept(file, running.copy))
        done.go(done.prove())
        return [row["seen"] for row in done.found], capsys.readouterr().err.count(" s  it")

    assert go() == (["failed", "broken"], 2)
    assert go() == (["failed", "broken"], 1)  # what failed as it must is not done again
    (running.copy / ".hypothesis").mkdir()
    (running.copy / ".hypothesis" / "examples").write_text("left by a run: the tree is the same")
    kept = guards.Kept(file, running.copy)
    assert (len(kept.seen), kept.passed) == (1, {"test_guard.py::test_it"})
    (running.copy / "guard.py").write_text("GUARDED = True  # another tree\n")
    kept = guards.Kept(file, running.copy)
    assert (len(kept.seen), kept.passed) == (0, set())
