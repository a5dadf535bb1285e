"""The pack runs what it is asked for, tells by its exit code, and writes what it found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.pack import ROOT, _playable, main
from tests.faults.rig import clocks, parts
from tests.faults.rig.adding import added
from tests.faults.rig.report import rendered

FACTS = {"commit": "abc", "at": "2026-11-26T02:00:00+00:00", "seconds": 61, "broken": []}


def pack(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.pack", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_part_that_does_not_exist_is_refused() -> None:
    refused = pack("--only", "nothing")
    assert refused.returncode == 2
    assert "There is no part nothing; there are sweep-open-hedge" in refused.stderr


@pytest.mark.parametrize(
    ("part", "told"),
    [("slow-disk", "strace is not installed"), ("clocks", "libfaketime is not installed")],
)
def test_a_part_that_lacks_a_tool_of_the_system_says_so_and_is_left_out_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str, told: str
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(clocks, "LIBRARIES", "nowhere")
    assert main(["--only", part]) == 2
    assert f"{part} cannot run: {told}" in capsys.readouterr().err
    assert _playable([], {"model": parts.PARTS["model"], part: parts.PARTS[part]}) == ["model"]


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_count_must_be_a_count(wrong: str) -> None:
    assert pack("--seeds", wrong).returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_part_leaves_figures_and_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    ran = pack(
        *("--only", "sweep-cancel", "--points", "1", "--results", str(tmp_path)),
        *("--report", str(report), "--commit", "this", "--json"),
    )
    assert ran.returncode == 0, ran.stderr
    facts = json.loads(ran.stdout)["sweep-cancel"]
    assert (facts["killed"], facts["broken"], facts["commit"]) == (1, [], "this")
    assert "| sweep-cancel | killed at 1 points" in report.read_text()
    again = tmp_path / "again.md"
    rendered_only = pack("--render", "--results", str(tmp_path), "--report", str(again))
    assert (rendered_only.returncode, again.read_text()) == (0, report.read_text())


def test_what_is_broken_is_named_in_the_report() -> None:
    broken = {**FACTS, "broken": ["I1 at paper-1 #7: sent twice"], "rounds": 9, "orders": 10}
    text = rendered({"dispatch": broken, "schedules": FACTS | PLAYED})
    assert "| **1 broken** | abc | 2026-11-26 02:00:00 | 1 min 1 s |" in text
    assert "\n## Broken\n\n- dispatch: I1 at paper-1 #7: sent twice\n" in text


PLAYED = {
    "seeds": 8,
    "ranges": [[1, 8]],
    "orders": 12,
    "unknown": 3,
    "withheld": 2,
    "absent": 1,
    "resolved": {"0.25": 1, "0.50": 1},
}


def test_slices_add_up_to_the_seeds_they_played() -> None:
    later = {**PLAYED, "ranges": [[9, 12]], "seeds": 4, "resolved": {"0.25": 2}}
    apart = {**PLAYED, "ranges": [[20, 27]], "resolved": {}}
    made = added(added(FACTS | PLAYED, {**FACTS, "commit": "abd"} | later), FACTS | apart)
    assert (made["ranges"], made["seeds"], made["orders"]) == ([[1, 12], [20, 27]], 20, 36)
    assert (made["resolved"], made["seconds"]) == ({"0.25": 3, "0.50": 1}, 183)
    assert made["commit"] == "abc, abd"
    row = rendered({"schedules": made})
    assert "| 20 seeds, 1 to 12 and 20 to 27: 36 orders, 6 of them withheld by our own gate" in row
    assert "known p95 0.50 s, at most 0.50 s | all invariants hold | abc, abd |" in row


def test_a_slice_that_is_broken_stays_broken() -> None:
    broken = {**FACTS, "broken": ["I1"], "rounds": 5, "orders": 6}
    made = added(broken, {**FACTS, "rounds": 5, "orders": 5})
    assert (made["broken"], made["rounds"], made["orders"]) == (["I1"], 10, 11)


def test_a_seed_counts_once() -> None:
    with pytest.raises(ValueError, match="Seeds from 8 were played already"):
        added(FACTS | PLAYED, FACTS | PLAYED | {"ranges": [[8, 9]]})


def test_figures_of_other_parts_are_not_added() -> None:
    refused = pack("--only", "plugs", "--add")
    assert refused.returncode == 2
    assert "Figures are added only to dispatch, schedules." in refused.stderr


def test_a_part_that_broke_off_is_said_to_be_unfinished() -> None:
    parts = (
        *("sweep-cancel", "dispatch", "schedules", "plugs", "model", "outages", "clocks"),
        *("slow-disk", "tests"),
    )
    text = rendered(dict.fromkeys(parts, FACTS))
    assert text.count("not finished") == len(parts)
