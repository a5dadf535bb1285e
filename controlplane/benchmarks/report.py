"""What a benchmark tells."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Figure:
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure must not exceed `limit`."""

    figure: str
    limit: float


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one run, the goals they are held against, and peers measured in the same run.

    `rounds` is what each of several rounds gave by itself, where the figures are medians of them.
    """

    name: str
    figures: Mapping[str, Figure]
    goals: Sequence[Goal]
    peers: Sequence[Mapping[str, Any]] = ()
    rounds: Sequence[Mapping[str, Any]] = ()

    @property
    def is_met(self) -> bool:
        return all(self._meets(goal) for goal in self.goals)

    def document(self) -> dict[str, Any]:
        """Return the report as it is printed."""
        return {
            "name": self.name,
            "figures": {
                name: {"value": figure.value, "unit": figure.unit}
                for name, figure in self.figures.items()
            },
            "goals": [
                {"figure": goal.figure, "limit": goal.limit, "met": self._meets(goal)}
                for goal in self.goals
            ],
            "peers": list(self.peers),
            **({"rounds": list(self.rounds)} if self.rounds else {}),
        }

    def _meets(self, goal: Goal) -> bool:
        return self.figures[goal.figure].value <= goal.limit


class Benchmark(Protocol):
    """Measures; `count` is how many of what it measures, `say` tells people how far it is.

    Some take options of their own beside these.
    """

    def __call__(self, *, count: int, say: Callable[[str], None]) -> Report: ...


class BenchmarkFailed(Exception):
    """Nothing could be measured; the text says why."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
