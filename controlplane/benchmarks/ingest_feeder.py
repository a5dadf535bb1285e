"""The venue of feed-ingest, in a process and, where there are two, on a core of its own.

Run as `python -m controlplane.benchmarks.ingest_feeder COUNT@PACE,… SYMBOL…`; prints its port, then
serves one reader after the other until it is ended, or whoever began it has died: so many quotes at
each pace in turn, of all symbols in turn, evenly spaced (at pace 0: as fast as it takes them), and
on at the last pace until the reader leaves. Each quote is a
frame and a write of its own, on a bare socket, its `u` the monotonic time, in ns, just before that
write. After each reader it prints a line of JSON: how late its sending was, and how long one write
took at most.
"""

import gc
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from controlplane.benchmarks.feed_ingest import NUMBERS, Phase
from controlplane.benchmarks.report import percentile
from markets.venues.paper.hub import text_frame

HEARD_EACH: Final = 100
"""After so many messages it is looked whether the reader has said something."""
SPUN_NS: Final = 50_000
"""The end of a pause is spun out: a sleep wakes late, and by how much varies."""
_SLACK: Final = Path("/proc/self/timerslack_ns")
"""By how much Linux may put off the end of a sleep: 50 µs unless told otherwise."""
_HEARD_BYTES: Final = 64 * 1024
_ALONE_SECONDS: Final = 2.0
"""So often it is looked, while no reader comes, whether there is still somebody to serve."""
_NS: Final = 1_000_000_000


class Reader:
    """The one that is served: its socket, and what it says there, answered now and then."""

    def __init__(self, opened: socket.socket) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send = opened.sendall
        self._socket = opened
        self._protocol = ServerProtocol()

    def welcome(self) -> None:
        """Answer its request for a websocket."""
        while not self._heard(0):
            continue

    def is_there(self) -> bool:
        """Answer what it said meanwhile; tell whether it stays."""
        try:
            self._heard(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True  # nothing was said
        return self._protocol.state is State.OPEN

    def _heard(self, flags: int) -> bool:
        """Answer what it said; tell whether its websocket is open, or was."""
        protocol = self._protocol
        if said := self._socket.recv(_HEARD_BYTES, flags):
            protocol.receive_data(said)
        else:
            protocol.receive_eof()
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
        for answer in filter(None, protocol.data_to_send()):
            self.send(answer)
        return protocol.state is not State.CONNECTING or not said


def feed(phases: Sequence[Phase], symbols: Sequence[str]) -> None:
    """Serve one reader after the other, each until it leaves, and tell how; while asked for."""
    began_by = os.getppid()
    if _SLACK.exists():
        _SLACK.write_text("1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        _say(str(server.getsockname()[1]))
        server.settimeout(_ALONE_SECONDS)
        gc.freeze()
        gc.disable()
        while os.getppid() == began_by:
            try:
                opened, _ = server.accept()
            except TimeoutError:
                continue
            with opened:
                reader = Reader(opened)
                reader.welcome()
                late, longest = _send(reader, _dues(phases), symbols)
            late = late[: sum(count for count, pace in phases if pace)]
            told = {"lateP99Micros": percentile(late, 0.99) / 1000, "writeMicros": longest / 1000}
            _say(json.dumps(told))
            gc.collect()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _dues(phases: Sequence[Phase]) -> Iterator[int]:
    """Return when each message is due, in ns after the first; without end."""
    at = 0
    for count, pace in phases:
        yield from (at + (number * _NS // pace if pace else 0) for number in range(count))
        at += count * _NS // pace if pace else 0
    pace = phases[-1][1]
    yield from (at + (number * _NS // pace if pace else 0) for number in itertools.count())


def _send(reader: Reader, dues: Iterator[int], symbols: Sequence[str]) -> tuple[Sequence[int], int]:
    """Send until the reader leaves; return by how much each was late, and the longest write."""
    late: list[int] = []
    longest, monotonic = 0, time.monotonic_ns
    began = monotonic()
    for number, due in enumerate(dues):
        due += began
        while (left := due - monotonic()) > 0:
            if left > SPUN_NS:
                time.sleep((left - SPUN_NS) / _NS)
        before, after = _template(symbols, number)
        sent = monotonic()
        try:
            reader.send(text_frame(b"%b%d%b" % (before, sent, after)))
            if number % HEARD_EACH == 0 and not reader.is_there():
                break
        except OSError:
            break
        late.append(sent - due)
        longest = max(longest, monotonic() - sent)
    return late, longest


def _template(symbols: Sequence[str], number: int) -> tuple[bytes, bytes]:
    """Return a quote as it is before and after its time of sending."""
    symbol, wall_ms = symbols[number % len(symbols)], time.time_ns() // 1_000_000
    bid = 60_000 + number % NUMBERS / 10
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"e":"bookTicker","u":'.encode(),
        f',"s":"{symbol}","b":"{bid:.2f}","B":"3.121",'
        f'"a":"{bid + 0.1:.2f}","A":"4.066","T":{wall_ms},"E":{wall_ms}}}}}'.encode(),
    )


if __name__ == "__main__":
    asked = [tuple(map(int, phase.split("@"))) for phase in sys.argv[1].split(",")]
    feed([(count, pace) for count, pace in asked], sys.argv[2:])
