"""Whether a process that holds many feeds stays as it is: its memory, descriptors and tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from controlplane.benchmarks import soak_stage
from controlplane.benchmarks.report import Figure, Goal, Report
from controlplane.benchmarks.staging import measured

WARM_MINUTES: Final = 5.0
"""What comes before is left out of the slopes, a third of the time at most: windows fill up, and
the allocator finds its size."""
GOALS: Final = (
    Goal("rss_max", 250),
    Goal("rss_slope", 0.2),
    Goal("fds_slope", 0.05),
    Goal("tasks_slope", 0.05),
    Goal("unwell", 0),
)


def run(
    *, count: int, say: Callable[[str], None], feeds: int = 200, minutes: float = 3.0
) -> Report:
    """Hold `feeds` feeds for so many minutes; `count` does not matter."""
    seconds = soak_stage.READY_SECONDS + 60 * minutes + 4 * soak_stage.STOP_SECONDS
    arguments = [str(minutes)]
    facts = measured("soak_stage", count=feeds, seconds=seconds, say=say, arguments=arguments)
    return report(facts, feeds)


def report(facts: Mapping[str, Any], feeds: int) -> Report:
    """Return the figures of what was seen."""
    samples: Sequence[Mapping[str, float]] = facts["samples"]
    length = samples[-1]["minute"]
    steady = [s for s in samples if s["minute"] >= min(WARM_MINUTES, length / 3)]
    return Report(
        "feed-soak",
        {
            "rss_max": Figure(round(max(sample["rss"] for sample in samples), 1), "MB"),
            "rss_first": Figure(round(steady[0]["rss"], 1), "MB once warm"),
            "rss_last": Figure(round(steady[-1]["rss"], 1), "MB at the end"),
            "rss_slope": Figure(round(slope(steady, "rss"), 3), "MB/min"),
            "fds_slope": Figure(round(slope(steady, "fds"), 3), "descriptors/min"),
            "tasks_slope": Figure(round(slope(steady, "tasks"), 3), "tasks/min"),
            "fds": Figure(steady[-1]["fds"], "descriptors"),
            "tasks": Figure(steady[-1]["tasks"], "tasks"),
            "sockets": Figure(facts["sockets"], "connections to the venues, HTTP included"),
            "cpu": Figure(round(facts["cpu"], 1), "% of a core"),
            "rate": Figure(round(facts["rate"]), "quotes/s"),
            "minutes": Figure(round(length, 1), "minutes"),
            "feeds": Figure(feeds, "feeds"),
            "unwell": Figure(facts["unwell"], "feeds at the end"),
            "reconnects": Figure(facts["reconnects"], "channels"),
        },
        GOALS,
    )


def slope(samples: Sequence[Mapping[str, float]], name: str) -> float:
    """Return by how much a figure grows a minute, by least squares."""
    times = [sample["minute"] for sample in samples]
    values = [sample[name] for sample in samples]
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - middle) ** 2 for time in times)
    if not spread:
        return 0.0
    moved = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True))
    return moved / spread
