"""A venue's websocket: `websockets` opens, keeps and closes it; messages go straight to the reader.

The library's own way costs a queue, a future and a switch of tasks for each message. Here a read
of the socket hands on every message in it at once, before anything else runs. What is too large or
no frame at all is never read; its beginning is kept.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import CLOSED, Event

from controlplane.kernel.secrets import redact
from markets.feeds.framing import HEAD_KEPT, FrameCutter, Piece
from markets.venues.types import Quarantined

MAX_FRAME: Final = 1024 * 1024
LARGEST_HEAD: Final = 64 * 1024
_SWITCHED: Final = b"HTTP/1.1 101"
_END_OF_HEAD: Final = b"\r\n\r\n"

Hand = Callable[[bytes], bool]
"""Takes a message; True when no more are wanted."""


class StreamSocket(ClientConnection):
    """A connection that hands on each message as it comes, and keeps why it could not.

    A message that is too large is passed over and told to `on_unread`; one that breaks the
    protocol ends the connection, and stays in `unread`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unread: Quarantined | None = None
        self._head: bytes | None = b""
        self._cutter = FrameCutter(MAX_FRAME)
        self._fragments: list[bytes] = []
        self._early: list[bytes] = []
        self._hand: Hand = self._keep
        self._on_unread: Callable[[Quarantined], None] = self._note
        self._over: asyncio.Future[None] | None = None

    async def run(self, hand: Hand, on_unread: Callable[[Quarantined], None]) -> None:
        """Hand on every message until `hand` wants no more.

        Raises ConnectionClosed at the connection's end, and whatever `hand` raises.
        """
        self._over = asyncio.get_running_loop().create_future()
        self._hand, self._on_unread = hand, on_unread
        if self.unread is not None and self.protocol.parser_exc is None:
            on_unread(self.unread)
        early, self._early = self._early, []
        for message in early:
            self._give(message)
        if self.protocol.state is CLOSED:
            self._end(self.protocol.close_exc)
        await self._over

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._handshake(data)
        for piece, content in self._cutter.cut(data):
            if piece is Piece.MESSAGE:
                self._give(content)
            elif piece is Piece.RAW:
                self._read(content)
            else:
                self._on_unread(_oversized(content))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end(self.protocol.close_exc)

    def process_event(self, event: Event) -> None:
        """Join the fragments of a message; the library sees to all else."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            message, self._fragments = b"".join(self._fragments), []
            self._give(message)

    def _handshake(self, data: bytes) -> bytes:
        """Let the library read the answer to our request; return what came after it."""
        assert self._head is not None
        head, self._head = self._head + data, None
        end = head.find(_END_OF_HEAD)
        if head[: len(_SWITCHED)] != _SWITCHED[: len(head)] or len(head) > LARGEST_HEAD:
            self._cutter.is_lost = True  # refused: the library reads why
            return head
        if end < 0:
            self._head = head
            return b""
        end += len(_END_OF_HEAD)
        self._read(head[:end])
        return head[end:]

    def _read(self, data: bytes) -> None:
        """Have the library read bytes."""
        super().data_received(data)
        if self.protocol.parser_exc is not None and self.unread is None:
            self.unread = _unread(self.protocol.parser_exc, data)

    # What the reader gets

    def _give(self, message: bytes) -> None:
        try:
            if self._hand(message):
                self._end(None)
        except Exception as error:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Let `run` return, or raise; whatever comes later is not wanted."""
        if self._over is None or self._over.done():
            return
        self._hand, self._on_unread = _unwanted, self._note
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    def _keep(self, message: bytes) -> bool:
        self._early.append(message)
        return False

    def _note(self, event: Quarantined) -> None:
        self.unread = event


def _unwanted(_message: bytes) -> bool:
    return False


def _oversized(content: bytes) -> Quarantined:
    """Describe a message too large; its length takes eight bytes."""
    (size,) = struct.unpack("!Q", content[2:10])
    return Quarantined("oversized", _described(f"{size} bytes", content[10:]))


def _unread(error: Exception, data: bytes) -> Quarantined | None:
    """Return what was not read; `data` is what arrived together with its header."""
    if isinstance(error, PayloadTooBig):
        return Quarantined("oversized", _described(f"{error.size} bytes", data))
    if isinstance(error, ProtocolError | UnicodeDecodeError):
        return Quarantined("garbage", _described(str(error)[:60], data))
    return None


def _described(what: str, data: bytes) -> str:
    return redact(f"{what}: {data[:HEAD_KEPT]!r}")
