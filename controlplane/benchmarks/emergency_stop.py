"""Stopping a hundred accounts over three paper venues, against a bare client's same requests.

Everything runs on a database and venues of its own under a temporary directory. Each account has
two resting orders and a position. The bare client cancels, reads, closes and reads again, with
nothing written down; ours leaves the whole record. Then the same with answers ten times as slow
and one venue down: the accounts at the others must be done.
"""

from collections.abc import Callable
from typing import Final

from controlplane.benchmarks import staging
from controlplane.benchmarks.report import Figure, Goal, Report

ACCOUNTS: Final = 100
SECONDS: Final = 150.0
GOALS: Final = (
    Goal("flatten", 3.0),
    Goal("blocked_ms", 250),
    Goal("cancelled_p99", 5.0),
    Goal("slow_done", 30.0),
    Goal("not_confirmed", 0),
)


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure; `count` bounds the accounts. Raises BenchmarkFailed when the stage does."""
    facts = staging.measured(
        "stop_stage", count=max(3, min(count, ACCOUNTS)), seconds=SECONDS, say=say
    )
    peers = [{"name": "bare aiohttp", "seconds": facts.pop("bare")[0]}]
    return Report(
        "emergency-stop", {name: Figure(*pair) for name, pair in facts.items()}, GOALS, peers
    )
