"""Judges connections by what they say. Pure: `now` is monotonic seconds and given."""

from dataclasses import dataclass, field
from typing import Final

from markets.venues.sockets import Channels

LONGEST_WAIT: Final = 60.0


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


@dataclass(slots=True)
class ChannelVigil:
    """One feed's channel on a connection that others share.

    It has `seconds` to prove itself and may then say nothing for `silence` (None: as long as it
    likes). Each time that it was asked for in vain doubles how long it is waited for, up to a
    minute: a calm or delisted contract need not be asked for every few seconds.
    """

    seconds: float
    silence: float | None = None
    asked: float | None = None
    heard: float = float("-inf")
    is_proven: bool = False
    tries: int = 0
    _heard_before: float = float("-inf")

    def ask(self, now: float) -> None:
        """Note that the channel was asked for, on this connection for the first time or anew."""
        self.tries = self.tries + 1 if self._is_unheard else 0
        self.asked, self.is_proven, self._heard_before = now, False, self.heard

    def forget(self) -> None:
        """Note that its connection is gone."""
        self.asked, self.is_proven = None, False

    def verdict(self, now: float) -> str | None:
        """Return why the channel must be asked for anew, or None."""
        if self.asked is None:
            return None
        if not self.is_proven:
            is_late = now >= self.asked + self._patience(self.seconds)
            return f"not a word within {self.seconds:g} s" if is_late else None
        if self.silence is None or now < max(self.asked, self.heard) + self._patience(self.silence):
            return None
        return f"no data for {self.silence:g} s"

    @property
    def _is_unheard(self) -> bool:
        return self.heard <= self._heard_before

    def _patience(self, seconds: float) -> float:
        times = min(self.tries, 8) - 1 if self._is_unheard else 0
        return max(seconds, min(LONGEST_WAIT, seconds * 2.0**times))
