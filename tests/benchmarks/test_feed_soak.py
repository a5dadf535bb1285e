"""What feed-soak makes of what it saw; nothing is timed."""

from typing import Any

import pytest

from controlplane.benchmarks import feed_soak, soak_stage


def facts(grown: float, **changes: Any) -> dict[str, Any]:
    """A soak of 30 minutes whose memory grows by so much a minute once it is warm."""
    samples = [
        {
            "minute": minute,
            "rss": 150 + 4 * min(minute, 5) + grown * max(0, minute - 5),
            "fds": 40,
            "tasks": 900,
        }
        for minute in range(31)
    ]
    seen = {"samples": samples, "cpu": 20.04, "rate": 400.4, "sockets": 10, "unwell": 0}
    return {**seen, "reconnects": 0, **changes}


@pytest.mark.parametrize(("grown", "is_met"), [(0.0, True), (0.1, True), (0.3, False)])
def test_slope_is_taken_once_the_process_is_warm(grown: float, is_met: bool) -> None:
    report = feed_soak.report(facts(grown), 200)
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert figures["rss_slope"] == pytest.approx(grown)
    assert (figures["rss_first"], figures["rss_max"]) == (170, 170 + 25 * grown)
    assert (figures["fds_slope"], figures["tasks_slope"], figures["minutes"]) == (0, 0, 30)
    assert report.is_met is is_met


def test_memory_and_a_feed_that_is_not_well_are_held_against_goals() -> None:
    assert not feed_soak.report(facts(0.0, unwell=1), 200).is_met
    large = facts(0.0)
    large["samples"][3]["rss"] = 250.1
    assert not feed_soak.report(large, 200).is_met


def test_feeds_are_shared_out_over_the_venues_and_none_is_left() -> None:
    shares = soak_stage.shared_out(200)
    assert {dialect: len(bases) for dialect, bases in shares.items()} == {
        "binance": 100,
        "aster": 60,
        "pacifica": 40,
    }
    assert len({base for bases in shares.values() for base in bases}) == 200
    assert soak_stage.shared_out(1) == {"binance": ["C000"]}
