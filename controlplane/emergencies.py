"""The sentinel's watch over emergency stops: each is driven until every venue has confirmed."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from controlplane.background import Background
from controlplane.base.audit import Actor
from hedging.emergency.driving import DRIVE_SECONDS, stop_drive, stops_unfinished
from hedging.emergency.verbs import stops_widen

AT_ONCE: Final = 2
"""Drivers of one stop at a time: accounts that answer do not wait for those that do not."""
ONCE_SECONDS: Final = 2.0
"""How long a single round, without threads, drives."""


@dataclass(slots=True)
class Emergencies:
    """Needs no worker and remembers nothing: all it goes by is in the database."""

    actor: Actor
    background: Background

    def watch(self) -> int:
        """Take in accounts that have come into a stop's scope, and drive what is unfinished."""
        begun = stops_widen(actor=self.actor)
        seconds = DRIVE_SECONDS if self.background.has_threads else ONCE_SECONDS
        for stop in stops_unfinished():
            drive = partial(stop_drive, stop_id=stop.pk, actor=self.actor, seconds=seconds)
            begun += any(
                self.background.start(("stop", stop.pk, place), drive) for place in range(AT_ONCE)
            )
        return begun
