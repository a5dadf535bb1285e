"""The figures of a part that was run in slices, one after the other or side by side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

SUMS: Final = frozenset(
    {"seeds", "orders", "unknown", "withheld", "absent", "rounds", "seconds", "resolved", "broken"}
)
Span = Sequence[int]
"""First and last seed."""


def added(before: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of both runs together, with every version they ran on.

    Raises ValueError when a seed was played by both: it counts once.
    """
    made = {**before, **facts}
    for name in SUMS & set(before) & set(facts):
        made[name] = _sum(before[name], facts[name])
    made["commit"] = ", ".join(dict.fromkeys([*before["commit"].split(", "), facts["commit"]]))
    if "ranges" in made:
        made["ranges"] = spans([*before.get("ranges", ()), *facts.get("ranges", ())])
    return made


def _sum(one: Any, other: Any) -> Any:
    """Add numbers, lists, and how often each value occurred."""
    if isinstance(one, Mapping):
        return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
    return one + other


def spans(ranges: Iterable[Span]) -> list[list[int]]:
    """Return the ranges in order, those that meet as one; raises ValueError if two overlap."""
    made: list[list[int]] = []
    for first, last in sorted(map(tuple, ranges)):
        if made and first <= made[-1][1]:
            raise ValueError(f"Seeds from {first} were played already.")
        if made and first == made[-1][1] + 1:
            made[-1][1] = last
        else:
            made.append([first, last])
    return made


def counted(seconds: Iterable[float]) -> dict[str, int]:
    """Return how often each time occurred, by hundredths of a second."""
    made: dict[str, int] = {}
    for one in seconds:
        key = f"{one:.2f}"
        made[key] = made.get(key, 0) + 1
    return made


def times(counts: Mapping[str, int]) -> list[float]:
    """Return the times again."""
    return [float(key) for key, often in counts.items() for _ in range(often)]
