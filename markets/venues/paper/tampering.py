"""What befalls frames on their way to the sockets: mute, lost, twice, late, in the wrong order."""

import asyncio
from collections.abc import Callable, Sequence

from markets.venues.paper.faults import FaultKind, Faults, Stage, Subject


class Tampering:
    """Decides what is sent in place of each frame. A frame held back waits for the next of its
    stream, or is never sent when there is none.
    """

    def __init__(self, faults: Faults, about: Callable[[str], Subject]) -> None:
        self._faults = faults
        self._about = about
        self._held: dict[str, bytes] = {}

    @property
    def is_needed(self) -> bool:
        return bool(self._held) or self._faults.has(Stage.FRAME)

    def __call__(
        self, stream: str, payload: bytes, later: Callable[[bytes], None]
    ) -> Sequence[bytes]:
        """Return the payloads to send now; `later` sends one that is late."""
        held = self._held.pop(stream, None)
        waiting = [] if held is None else [held]
        subject = self._about(stream)
        subject = Subject(
            account=subject.account,
            symbol=subject.symbol,
            channel=subject.channel,
            stream=stream,
            text=payload,
        )
        taken = self._faults.take(Stage.FRAME, subject)
        if taken is None:
            return [payload, *waiting]
        fault = taken.fault
        if fault.kind is FaultKind.WS_DUP:
            return [payload, payload, *waiting]
        if fault.kind is FaultKind.WS_POISON:
            return [fault.body * fault.repeat, *waiting]
        if fault.kind is FaultKind.WS_REORDER:
            self._held[stream] = payload
        elif fault.kind is FaultKind.WS_DELAY:
            asyncio.get_running_loop().call_later(fault.delay_ms / 1000, later, payload)
        return waiting
