"""Whether hedging goes on as ever while ten thousand quotes a second come in.

The whole product runs as the demo does and hedges trades of somebody else on three paper venues,
while a fourth venue floods it with quotes for a minute and some listeners to prices read nothing.
Quotes are conflated, so the flood must cost memory and time of nobody; orders and fills never are.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from controlplane.benchmarks import staging
from controlplane.benchmarks.flood_stage import SETTLE_SECONDS, WARM_SECONDS
from controlplane.benchmarks.report import Figure, Goal, Report
from controlplane.benchmarks.stage import longest

GOALS: Final = (
    Goal("decide_p99", 250),
    Goal("missed", 0),
    Goal("lost", 0),
    Goal("unread", 0),
    Goal("not_cut", 0),
    Goal("gaps", 0),
    Goal("rss_growth", 15),
)


def run(*, count: int, say: Callable[[str], None], minutes: float = 1.0) -> Report:
    """Hedge `count` times in a flood of at least so many minutes; raises BenchmarkFailed."""
    seconds = longest(count) + 60 * minutes + WARM_SECONDS + 2 * SETTLE_SECONDS
    facts = staging.measured(
        "flood_stage", count=count, seconds=seconds, say=say, arguments=[str(60 * minutes)]
    )
    return report(facts)


def report(facts: Mapping[str, Any]) -> Report:
    """Return the figures of what a stage has left."""
    return Report("feed-flood", {name: Figure(*pair) for name, pair in facts.items()}, GOALS)
