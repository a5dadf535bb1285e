"""A venue that floods: quotes of some symbols on Binance's sockets, ten thousand a second.

Only sockets: nothing is listed or traded there. Quotes come slowly until the file `go` is there,
then at full rate, and no more once it has gone; what was sent is in the file `sent`.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from markets.venues.paper.hub import text_frame

RATE: Final = 10_000
CALM: Final = 100
TURN_SECONDS: Final = 0.002
SYMBOLS: Final = tuple(f"F{number:02}" for number in range(20))


class Flood:
    """The venue. `directory` holds the files that it is led by and tells by."""

    def __init__(self, directory: Path) -> None:
        self._go = directory / "go"
        self._told = directory / "sent"
        self._sent = 0
        self._was_on = False
        self._told_last = -1

    async def run(self, port: int) -> None:
        """Serve until cancelled."""
        async with serve(self._stream, "127.0.0.1", port, compression=None):
            await asyncio.Future()

    async def _stream(self, socket: ServerConnection) -> None:
        names: list[str] = []
        sending = asyncio.create_task(self._send(socket, names))
        try:
            async for text in socket:
                await socket.send(_answer(json.loads(text), names))
        except ConnectionClosed:
            return
        finally:
            sending.cancel()

    async def _send(self, socket: ServerConnection, names: Sequence[str]) -> None:
        began, due = time.monotonic(), 0.0
        while True:
            await asyncio.sleep(TURN_SECONDS)
            now = time.monotonic()
            passed, began = now - began, now
            if not names:
                continue
            if names[0].endswith("@bookTicker"):
                due += passed * self._rate()
                frames = [_quote(names, self._sent + number) for number in range(int(due))]
                due -= len(frames)
                self._sent += len(frames)
            else:
                due += passed
                frames = [_mark(name) for name in names] if due >= 1 else []
                due %= 1
            socket.transport.write(b"".join(map(text_frame, frames)))
            await socket.drain()

    def _rate(self) -> int:
        if self._go.exists():
            self._was_on = True
            return RATE
        if not self._was_on:
            return CALM
        if self._told_last != self._sent:
            whole = self._told.with_suffix(".new")
            whole.write_text(str(self._sent))
            whole.replace(self._told)  # nobody reads half of it
            self._told_last = self._sent
        return 0


def serve_flood(directory: Path, port: int) -> None:
    """Be the venue, in a process of its own."""
    asyncio.run(Flood(directory).run(port))


def _answer(asked: dict[str, Any], names: list[str]) -> str:
    match asked.get("method"):
        case "SUBSCRIBE":
            names += asked["params"]
        case "UNSUBSCRIBE":
            names[:] = [name for name in names if name not in asked["params"]]
        case "LIST_SUBSCRIPTIONS":
            return json.dumps({"result": names, "id": asked["id"]})
    return json.dumps({"result": None, "id": asked["id"]})


def _quote(names: Sequence[str], number: int) -> bytes:
    name, wall_ms = names[number % len(names)], time.time_ns() // 1_000_000
    symbol, bid = name.partition("@")[0].upper(), 100 + number % 50 / 100
    return (
        f'{{"stream":"{name}","data":{{"e":"bookTicker","u":{number + 1},"s":"{symbol}",'
        f'"b":"{bid:.2f}","B":"3.1","a":"{bid + 0.01:.2f}","A":"4.0",'
        f'"T":{wall_ms},"E":{wall_ms}}}}}'
    ).encode()


def _mark(name: str) -> bytes:
    wall_ms = time.time_ns() // 1_000_000
    symbol, settled = name.partition("@")[0].upper(), wall_ms + 3_600_000
    return (
        f'{{"stream":"{name}","data":{{"e":"markPriceUpdate","E":{wall_ms},"s":"{symbol}",'
        f'"p":"100.25","i":"100.25","r":"0.0001","T":{settled}}}}}'
    ).encode()
