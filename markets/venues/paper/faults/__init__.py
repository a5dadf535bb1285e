"""Faults a paper venue can be told to commit: one table of kinds, one way to set and clear them.

For tests and drills; `docs/paper-venue.md` shows how each is set.
"""

from markets.venues.paper.faults.board import Faults, Standing
from markets.venues.paper.faults.kinds import HOOKS, MATCHES, Channel, FaultKind, Stage, Topic
from markets.venues.paper.faults.model import (
    ANY,
    Fault,
    FaultError,
    camel,
    checked,
    fault_from_json,
)
from markets.venues.paper.faults.subjects import Subject

__all__ = [
    "ANY",
    "HOOKS",
    "MATCHES",
    "Channel",
    "Fault",
    "FaultError",
    "FaultKind",
    "Faults",
    "Stage",
    "Standing",
    "Subject",
    "Topic",
    "camel",
    "checked",
    "fault_from_json",
]
