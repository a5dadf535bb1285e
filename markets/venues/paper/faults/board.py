"""The faults that stand: set, fired, worn out or cleared. Seeded, so that a run can be repeated."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from markets.venues.paper.faults.kinds import HOOKS, FaultKind, Stage
from markets.venues.paper.faults.model import Fault, checked
from markets.venues.paper.faults.subjects import Subject


@dataclass(slots=True, eq=False)
class Standing:
    """A fault that was set: `left` None is without end, `until_ns` (monotonic) None is for good."""

    fault_id: int
    fault: Fault
    until_ns: int | None
    left: int | None
    chance: random.Random
    fired: int = 0
    # What a fault keeps of its own: a frame held back, the state it found.
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        return HOOKS[self.fault.kind].stage

    @property
    def milliseconds_left(self) -> int | None:
        if self.until_ns is None:
            return None
        return max(0, self.until_ns - time.monotonic_ns()) // 1_000_000

    def is_over(self) -> bool:
        return self.left == 0 or (
            self.until_ns is not None and time.monotonic_ns() >= self.until_ns
        )

    def befalls(self, subject: Subject) -> bool:
        """Tell whether it fires now; the chance is drawn for what matches only."""
        if self.is_over() or not self.fault.matches(subject):
            return False
        return Decimal(self.chance.random()) < self.fault.probability


class Faults:
    """The faults of one venue, in the order given.

    `known` refuses accounts and symbols that are not there; `begin` and `end` carry out and undo
    what a fault changes at once; `tell` writes the ledger.
    """

    def __init__(
        self,
        seed: int,
        *,
        known: Callable[[Fault], Fault],
        begin: Callable[[Standing], None],
        end: Callable[[Standing], None],
        tell: Callable[..., None],
    ) -> None:
        self._seed = seed
        self._known = known
        self._begin, self._end, self._tell = begin, end, tell
        self._standing: tuple[Standing, ...] = ()
        self._last_id = 0

    def add(self, fault: Fault) -> int:
        """Set a fault and return its number; raises FaultError (or Refused) with nothing set."""
        fault = self._known(checked(fault))
        self._last_id += 1
        seconds = fault.seconds
        standing = Standing(
            fault_id=self._last_id,
            fault=fault,
            until_ns=None if seconds is None else time.monotonic_ns() + int(seconds * 10**9),
            left=fault.uses,
            chance=random.Random(f"{self._seed}:fault:{self._last_id}"),  # noqa: S311 - no secret
        )
        self._begin(standing)
        self._tell("fault-set", standing, {})
        if not standing.is_over():
            self._standing += (standing,)
        return standing.fault_id

    def clear(self, fault_id: int | None = None) -> int:
        """End a fault, or all; returns how many stood."""
        chosen = [item for item in self._standing if fault_id in (None, item.fault_id)]
        for item in chosen:
            self._finish(item)
        return len(chosen)

    def standing(self) -> Sequence[Standing]:
        """Return the faults in force."""
        self.expire()
        return self._standing

    def expire(self) -> None:
        """End what has worn out or run its time."""
        for item in self._standing:
            if item.is_over():
                self._finish(item)

    @property
    def are_set(self) -> bool:
        return bool(self._standing)

    def has(self, stage: Stage) -> bool:
        return any(item.stage is stage for item in self._standing)

    def take(self, stage: Stage, subject: Subject) -> Standing | None:
        """Return the first fault that fires for `subject`, used up by one."""
        found = self._firing(stage, subject, first=True)
        return found[0] if found else None

    def take_all(
        self, stage: Stage, subject: Subject, *, kind: FaultKind | None = None
    ) -> list[Standing]:
        """Return every fault (of a kind) that fires for `subject`, each used up by one."""
        return self._firing(stage, subject, first=False, kind=kind)

    def fire(self, item: Standing, subject: Subject) -> None:
        """Count a firing and write it down: frames only the first time, they are too many."""
        item.fired += 1
        if item.left is not None:
            item.left -= 1
        if item.stage is not Stage.FRAME or item.fired == 1:
            where = {
                "topic": subject.topic.value,
                "account": subject.account,
                "symbol": subject.symbol,
                "method": subject.method,
                "path": subject.path,
                "stream": subject.stream,
            }
            self._tell("fault", item, {name: value for name, value in where.items() if value})

    def _firing(
        self, stage: Stage, subject: Subject, *, first: bool, kind: FaultKind | None = None
    ) -> list[Standing]:
        found: list[Standing] = []
        if not self._standing:
            return found
        for item in self.standing():
            is_asked_for = item.stage is stage and kind in (None, item.fault.kind)
            if is_asked_for and item.befalls(subject):
                self.fire(item, subject)
                found.append(item)
                if first:
                    break
        return found

    def _finish(self, item: Standing) -> None:
        self._standing = tuple(other for other in self._standing if other is not item)
        self._end(item)
        self._tell("fault-cleared", item, {"fired": item.fired})
