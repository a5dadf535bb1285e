"""Stopping a hundred accounts over three paper venues, against a bare client's same requests.

Everything runs on a database and venues of its own under a temporary directory. Each account has
two resting orders, known to the product, and a position. First the stop is only pulled, again and
again: how long until nothing new is sent. Then both stop a hundred accounts, in turns. The bare
client makes the same requests one after the other for each account (cancel, orders, positions,
close, orders, positions) on the same kind of event loop and writes nothing down; ours leaves the
whole record. The venues count the requests of both. Last the same with answers ten times as slow
and one venue down: the accounts at the others must be done.
"""

from collections.abc import Callable
from typing import Final

from controlplane.benchmarks import staging
from controlplane.benchmarks.report import Figure, Goal, Report

ACCOUNTS: Final = 100
SECONDS: Final = 240.0
GOALS: Final = (
    Goal("flatten", 3.0),
    Goal("blocked_p99", 250),
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
