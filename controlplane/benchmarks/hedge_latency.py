"""From a breach to the hedge's order accepted, by the paper venues' own clock.

The whole product runs as the demo does, in processes and a database of its own under a temporary
directory. Somebody trades on the accounts through the venues' control endpoints, one trade at a
time, and the venues' ledgers tell when each trade was and when the order that hedges it came.
"""

from collections.abc import Callable
from typing import Final

from controlplane.benchmarks import staging
from controlplane.benchmarks.report import Figure, Goal, Report
from controlplane.benchmarks.stage import longest

GOALS: Final = (
    Goal("p95", 250),
    Goal("p99", 500),
    Goal("missed", 0),
    Goal("disagreements", 0),
)


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure `count` hedges; raises BenchmarkFailed when the product cannot be started."""
    facts = staging.measured("stage", count=count, seconds=longest(count), say=say)
    return Report("hedge-latency", {name: Figure(*pair) for name, pair in facts.items()}, GOALS)
