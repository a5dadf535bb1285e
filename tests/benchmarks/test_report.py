"""What a benchmark prints and how it exits."""

import json
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from controlplane import benchmarks
from controlplane.benchmarks import stage
from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report, percentile
from controlplane.management.commands.benchmark import Command


def measured(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**_: Any) -> Report:
        return Report("quick", {"p95": Figure(value, "ms")}, (Goal("p95", 250),))

    monkeypatch.setitem(benchmarks.BENCHMARKS, "quick", run)


def test_a_report_is_one_object_with_figures_goals_and_peers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured(250, monkeypatch)
    out = StringIO()
    call_command("benchmark", "quick", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {
        "name": "quick",
        "figures": {"p95": {"value": 250, "unit": "ms"}},
        "goals": [{"figure": "p95", "limit": 250, "met": True}],
        "peers": [],
    }


def test_a_missed_goal_exits_1_after_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(251, monkeypatch)
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("benchmark", "quick", "--json", stdout=out)
    assert caught.value.returncode == 1
    assert json.loads(out.getvalue())["goals"][0]["met"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["hedge-latency", "--count", "0"],
        ["hedge-latency", "--count", "2001"],
        ["hedge-latency", "--minutes", "1"],
        ["feed-soak", "--feeds", "0"],
        ["feed-soak", "--minutes", "241"],
        ["feed-burst"],
        ["feed-burst", "--capture", "nowhere.txt.gz"],
        ["feed-ingest", "--peer-python", "nowhere/python"],
        ["feed-soak", "--peer-python", "/bin/sh"],
    ],
)
def test_what_cannot_be_measured_exits_2(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("benchmark", *arguments)
    assert caught.value.returncode == 2


def test_a_stage_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**_: Any) -> Report:
        raise BenchmarkFailed("no feed")

    monkeypatch.setitem(benchmarks.BENCHMARKS, "quick", run)
    with pytest.raises(CommandError, match="no feed"):
        call_command(Command(), "quick")


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


class Stuck(stage.Measurement):
    """A product that hedges nothing."""

    def _moves(self) -> Iterator[stage.Move]:
        yield from [stage.Move("a", "BTC", Decimal(1), frozenset())] * self._count

    def _hedged(self, move: stage.Move) -> bool:
        return False

    def _books(self) -> str:
        return "live:a 1 BREACH"


def test_a_measurement_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(stage, "EACH_SECONDS", 0.001)
    with pytest.raises(TimeoutError, match="1 of 50 took too long; 1 missed"):
        Stuck((), 50).trade()


def test_the_longest_a_benchmark_may_take_follows_from_its_count() -> None:
    assert stage.longest(200) - stage.longest(100) == 100 * stage.EACH_SECONDS
