"""Fan-out to websocket clients: a frame is built once and written to every subscriber's socket.

Frames go straight to the transport, gathered per turn of the event loop, so a burst costs one
write per client. A client that has let more than `MAX_BUFFER` bytes pile up is cut off before the
next, however large what it does read may be.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

MAX_BUFFER: Final = 8 * 1024 * 1024
Tamper = Callable[[str, bytes, Callable[[bytes], None]], Sequence[bytes]]
"""(stream, payload, sender of what is late) -> the payloads to send now."""
_TEXT_FINAL: Final = 0x81
_CLOSE_FINAL: Final = 0x88


def text_frame(payload: bytes) -> bytes:
    """Return an unmasked text frame (RFC 6455) that holds all of `payload`."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _TEXT_FINAL, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _TEXT_FINAL, 126, size) + payload
    return struct.pack("!BBQ", _TEXT_FINAL, 127, size) + payload


def address_of(peer: str) -> str:
    """Return the address in `address:port`, by which venues count what a client asks for."""
    return peer.rpartition(":")[0]


class Client:
    """One websocket: what it listens to and how many frames of each stream it was sent.

    `asked` is all that it ever listened to; `peer` is where it comes from.
    """

    def __init__(
        self,
        client_id: int,
        path: str,
        transport: asyncio.Transport,
        *,
        combined: bool,
        peer: str = "",
    ) -> None:
        self.client_id = client_id
        self.path = path
        self.combined = combined
        self.peer = peer
        self.streams: set[str] = set()
        self.asked: set[str] = set()
        self.sent: Counter[str] = Counter()
        self.cut = False
        self._transport = transport
        self._pending: list[bytes] = []

    def push(self, frame: bytes) -> bool:
        """Queue a frame; True when it is the first since the last flush."""
        self._pending.append(frame)
        return len(self._pending) == 1

    def flush(self) -> None:
        """Write what is queued, or cut the client off when it does not read."""
        data = b"".join(self._pending)
        self._pending.clear()
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_BUFFER:
            self.cut_off()
        else:
            self._transport.write(data)

    def cut_off(self) -> None:
        """End the connection without a word."""
        self.cut = True
        self._transport.abort()

    def end(self, code: int | None) -> None:
        """End the connection: with a close frame that waits for no answer, or without a word."""
        if code is None:
            self.cut_off()
        elif not self._transport.is_closing():
            self.cut = True
            self._transport.write(struct.pack("!BBH", _CLOSE_FINAL, 2, code))
            self._transport.close()


class Hub:
    """Who listens to what. Streams are named as the dialect names them."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()
        self.clients: dict[int, Client] = {}
        self.past: list[Client] = []
        self.tamper: Tamper | None = None
        self._by_stream: dict[str, set[Client]] = {}
        self._dirty: list[Client] = []
        self._last_id = 0

    def join(
        self, path: str, transport: asyncio.Transport, *, combined: bool, peer: str = ""
    ) -> Client:
        self._last_id += 1
        client = Client(self._last_id, path, transport, combined=combined, peer=peer)
        self.clients[client.client_id] = client
        return client

    def leave(self, client: Client) -> None:
        self.unsubscribe(client, tuple(client.streams))
        self.clients.pop(client.client_id, None)
        self.past = [*self.past[-99:], client]

    def subscribe(self, client: Client, streams: Iterable[str]) -> None:
        for stream in streams:
            client.streams.add(stream)
            client.asked.add(stream)
            self._by_stream.setdefault(stream, set()).add(client)

    def unsubscribe(self, client: Client, streams: Iterable[str]) -> None:
        for stream in streams:
            client.streams.discard(stream)
            listeners = self._by_stream.get(stream)
            if listeners is not None:
                listeners.discard(client)
                if not listeners:
                    del self._by_stream[stream]

    def listened(self, stream: str) -> bool:
        return stream in self._by_stream

    def publish(self, stream: str, payload: bytes, *, shown_as: str | None = None) -> None:
        """Send `payload` to everyone on `stream`; combined clients get it wrapped.

        `shown_as` is the stream's name in the wrapper where it differs (a listen key).
        """
        self.published[stream] += 1
        listeners = self._by_stream.get(stream)
        if not listeners:
            return
        if self.tamper is None:
            self._write(stream, payload, shown_as)
            return
        late = partial(self._write, stream, shown_as=shown_as)
        for tampered in self.tamper(stream, payload, late):
            self._write(stream, tampered, shown_as)

    def _write(self, stream: str, payload: bytes, shown_as: str | None) -> None:
        raw: bytes | None = None
        wrapped: bytes | None = None
        for client in self._by_stream.get(stream, ()):
            if client.combined:
                if wrapped is None:
                    name = (shown_as or stream).encode()
                    wrapped = text_frame(b'{"stream":"%b","data":%b}' % (name, payload))
                frame = wrapped
            else:
                if raw is None:
                    raw = text_frame(payload)
                frame = raw
            client.sent[stream] += 1
            self._push(client, frame)

    def send(self, client: Client, payload: bytes, *, stream: str | None = None) -> None:
        """Send one message to one client, after whatever is queued for it.

        One that belongs to a `stream` suffers what befalls that.
        """
        if stream is None or self.tamper is None:
            self._push(client, text_frame(payload))
            return
        for tampered in self.tamper(stream, payload, partial(self.send, client)):
            self._push(client, text_frame(tampered))

    def _push(self, client: Client, frame: bytes) -> None:
        if client.push(frame):
            if not self._dirty:
                asyncio.get_running_loop().call_soon(self._flush)
            self._dirty.append(client)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for client in dirty:
            client.flush()
