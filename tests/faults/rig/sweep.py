"""C02 · The crash sweep: a flow is killed at each of its points, recovered and judged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.faults.rig.arena import arena
from tests.faults.rig.crash import Death, run_and_kill
from tests.faults.rig.flows import FLOWS, Flow

ROUNDS_PER_ARENA = 40
"""So often an arena is used; the ledgers to compare grow with each."""
Choice = Callable[[Sequence[str]], Iterable[int]]
"""Chooses where to kill, by what a run that nobody kills does at each point."""


def every(_points: Sequence[str]) -> Iterable[int]:
    """Choose every point, and those that a run may have more."""
    return count(1)


def crucial(points: Sequence[str], *, most: int) -> Iterable[int]:
    """Choose around what cannot be taken back: before and after writes, and after commits."""
    found = [
        number
        for number, what in enumerate(points, 1)
        if what.startswith(("write", "after")) or points[: number - 1][-1:] == ["db COMMIT"]
    ]
    return found[:: max(1, round(len(found) / most))]


@dataclass
class Sweep:
    """What came of a flow's sweep. `known` is in seconds after each kill."""

    flow: str
    points: int = 0
    killed: list[int] = field(default_factory=list)
    known: list[float] = field(default_factory=list)


def sweep(
    name: str,
    *,
    fresh: Callable[[], None],
    choose: Choice = every,
    say: Callable[[str], None] = lambda _text: None,
) -> Sweep:
    """Let a flow run once, then kill it at each chosen point, until one run comes to its end.

    `fresh` empties the database. Raises what the oracle, or the flow's own judge, finds broken.
    """
    made, points = Sweep(name), iter([0])
    is_over = False
    while not is_over:
        fresh()
        with arena() as stage:
            flow = FLOWS[name](stage)
            if made.points == 0:
                whole = _die(flow, 0, made)
                made.points, points = len(whole.points), iter(choose(whole.points))
            is_over = _some(flow, points, made, say)
    return made


def _some(flow: Flow, points: Iterator[int], made: Sweep, say: Callable[[str], None]) -> bool:
    """Kill at the next few points; return whether there are no more."""
    for _ in range(ROUNDS_PER_ARENA):
        point = next(points, None)
        if point is None or not (death := _die(flow, point, made)).was_killed:
            return True
        if len(made.killed) % 20 == 0:
            say(f"{flow.name}: killed at {len(made.killed)} points, last {death.at}")
    return False


def _die(flow: Flow, point: int, made: Sweep) -> Death:
    """Run a flow that dies at a point (0: at none), recover, and judge."""
    flow.prepare()
    death = run_and_kill(flow.run, kill_at=point)
    seed = f"{flow.name} killed at {death.at}"
    try:
        known = flow.arena.settle()
        flow.judge()
        flow.arena.verify(seed)
    except AssertionError as error:
        raise AssertionError(f"{seed}: {error}") from error
    if death.was_killed:
        made.killed.append(point)
        made.known.append(known)
    return death
