"""The shape of what the exposure benchmark reports; nothing here is timed."""

import pytest

from controlplane.benchmarks import exposure


def test_exposure_reports_its_ratio_and_an_error_below_a_billionth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposure, "TURNS", 1)
    monkeypatch.setattr(exposure, "ACCOUNTS", 30)
    report = exposure.run(count=2, say=lambda _text: None)
    assert {goal.figure: goal.limit for goal in report.goals} == {"tick": 3.0, "error": 1e-9}
    assert report.figures["error"].value < 1e-9
    assert report.figures["tick"].value > 0
    assert [peer["name"] for peer in report.peers] == [
        "full numpy recompute",
        "full Decimal recompute",
    ]
