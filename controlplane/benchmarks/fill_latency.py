"""From a private fill's match at the venue to its row committed in the database.

The whole product runs with four accounts on each of three paper venues, in processes and a
database of its own under a temporary directory. Somebody trades on the accounts, one trade at a
time; the venues' ledgers tell when each was matched, and a trigger of the database when its row
was committed. The peer is a bare websocket client on the same streams: what reaching a program at
all takes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from controlplane.benchmarks import staging
from controlplane.benchmarks.fill_stage import longest
from controlplane.benchmarks.report import Figure, Goal, Report, percentile

GOALS: Final = (Goal("p95", 150), Goal("missed", 0))
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure `count` fills; raises BenchmarkFailed when the product cannot be started."""
    facts = staging.measured("fill_stage", count=count, seconds=longest(count), say=say)
    return report(facts)


def report(facts: Mapping[str, Any]) -> Report:
    """Return the figures of what a stage has left."""
    written: Mapping[str, Sequence[float]] = facts["written"]
    ours = [delay for delays in written.values() for delay in delays]
    theirs = [delay for delays in facts["heard"].values() for delay in delays]
    figures = {name: _ms(percentile(ours, share)) for name, share in SHARES.items()}
    figures["max"] = _ms(max(ours))
    for dialect, delays in written.items():
        figures[f"{dialect}_p95"] = _ms(percentile(delays, 0.95))
    figures["bare_p95"] = _ms(percentile(theirs, 0.95))
    figures["over_bare"] = Figure(round(percentile(ours, 0.95) / percentile(theirs, 0.95), 2), "×")
    figures["missed"] = Figure(facts["missed"], "fills")
    figures["fills"] = Figure(len(ours), "fills")
    peer = {f"{name}_ms": round(percentile(theirs, share), 1) for name, share in SHARES.items()}
    return Report("fill-latency", figures, GOALS, [{"name": "bare websocket client", **peer}])


def _ms(value: float) -> Figure:
    return Figure(round(value, 1), "ms")
