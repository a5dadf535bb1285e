"""What the oracle reads and what it says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.kernel.ids import intent_id_of
from markets.venues.pacifica.ids import from_venue

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VenueLedger:
    """What a paper venue wrote down, oldest first and from its start on.

    Its clock is `ahead_ns` ahead of ours.
    """

    venue_id: str
    entries: Sequence[Entry]
    ahead_ns: int = 0

    def of(self, kind: str) -> list[Entry]:
        return [entry for entry in self.entries if entry["kind"] == kind]

    def at_ns(self, entry: Entry) -> int:
        """Return when an entry was made, by our clock."""
        return int(entry["atNs"]) - self.ahead_ns


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant, and the event that broke it: when by our clock, and where."""

    invariant: str
    text: str
    at_ns: int
    where: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.where}: {self.text}"


class Broken(AssertionError):
    """Invariants do not hold. Tells the first bad event and the seed that leads there."""

    def __init__(self, violations: Sequence[Violation], seed: int | str | None = None) -> None:
        self.violations = violations
        self.seed = seed
        named = "" if seed is None else f"seed {seed}: "
        lines = "\n".join(f"  {item}" for item in violations[1:20])
        first = f"{named}{len(violations)} broken, first {violations[0]}"
        super().__init__(f"{first}\n{lines}" if lines else first)


def in_order(violations: Iterable[Violation]) -> list[Violation]:
    return sorted(violations, key=lambda item: item.at_ns)


def our_id(entry: Entry) -> str:
    """Return our form of an entry's client order id; empty when it is none of ours."""
    name = from_venue(entry["clientOrderId"] or "")
    return name if intent_id_of(name) is not None else ""
