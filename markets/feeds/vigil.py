"""Judges one connection by what it says. Pure: `now` is monotonic seconds and given."""

from dataclasses import dataclass, field

from markets.venues.sockets import Channels


class StreamCut(Exception):
    """We end a connection ourselves; the text says why. A planned end is no trouble."""

    def __init__(self, reason: str, *, is_planned: bool = False) -> None:
        super().__init__(reason)
        self.is_planned = is_planned


@dataclass(slots=True)
class Vigil:
    """One connection since `began`: which channels are owed, when it last spoke, how old it is.

    `silence` is how long it may say nothing (None: as long as it likes); it is given up after
    `life` seconds, before the venue cuts it at a time of its own.
    """

    began: float
    channels: Channels
    life: float
    silence: float | None = None
    heard: float = field(init=False)

    def __post_init__(self) -> None:
        self.heard = self.began

    def verdict(self, now: float) -> StreamCut | None:
        """Return why the connection must end now, or None."""
        missing = self.channels.missing
        if missing and now >= self.began + self.channels.seconds:
            names = ", ".join(sorted(missing)[:5])
            return StreamCut(f"not a word from {names} within {self.channels.seconds:g} s")
        if self.silence is not None and now >= self.heard + self.silence:
            return StreamCut(f"no data for {self.silence:g} s")
        if now >= self.began + self.life:
            return StreamCut("its time was up", is_planned=True)
        return None

    def next_look(self, now: float) -> float:
        """Return after how many seconds a verdict may be another one."""
        ends = [self.began + self.life]
        if self.channels.missing:
            ends.append(self.began + self.channels.seconds)
        if self.silence is not None:
            ends.append(self.heard + self.silence)
        return max(0.0, min(ends) - now)
