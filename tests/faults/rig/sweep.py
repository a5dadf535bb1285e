"""C02 · The crash sweep: a flow is killed at each of its points, recovered and judged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.faults.rig.arena import arena
from tests.faults.rig.crash import run_and_kill
from tests.faults.rig.flows import FLOWS, Flow

ROUNDS_PER_ARENA = 40
"""So often an arena is used; the ledgers to compare grow with each."""
MOST_POINTS = 2000


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
    stride: int = 1,
    first: int = 1,
    fresh: Callable[[], None],
    say: Callable[[str], None] = lambda _text: None,
) -> Sweep:
    """Kill a flow at its points `first`, `first + stride`, … until one run comes to its end.

    `fresh` empties the database. Raises what the oracle, or the flow's own judge, finds broken.
    """
    made = Sweep(name)
    remaining = iter(range(first, MOST_POINTS, stride))
    is_over = False
    while not is_over:
        fresh()
        with arena() as stage:
            is_over = _some(FLOWS[name](stage), remaining, made, say)
    return made


def _some(flow: Flow, points: Iterator[int], made: Sweep, say: Callable[[str], None]) -> bool:
    """Kill at the next few points; return whether the flow came to its end."""
    for point in _first(points, ROUNDS_PER_ARENA):
        flow.prepare()
        death = run_and_kill(flow.run, kill_at=point)
        seed = f"{flow.name} killed at {death.at}"
        try:
            known = flow.arena.settle()
            flow.judge()
            flow.arena.verify(seed)
        except AssertionError as error:
            raise AssertionError(f"{seed}: {error}") from error
        if not death.was_killed:
            made.points = death.points
            return True
        made.killed.append(point)
        made.known.append(known)
        if len(made.killed) % 20 == 0:
            say(f"{flow.name}: killed at {len(made.killed)} points, last {death.at}")
    return False


def _first(points: Iterator[int], count: int) -> Iterable[int]:
    for _ in range(count):
        yield next(points)
