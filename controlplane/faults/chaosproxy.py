"""A bad network: a TCP proxy on loopback, before a venue, an outbound proxy or PostgreSQL.

    with chaos_proxy(port) as proxy:
        proxy.add(Toxic(ToxicKind.LATENCY, milliseconds=200))

It knows nothing of what passes. What is added holds for the connections there are and those to
come, until it is cleared; chances come from the seed.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from controlplane.faults.toxics import Toxic, ToxicKind, Way

T = TypeVar("T")
HOST: Final = "127.0.0.1"
CHUNK: Final = 64 * 1024
ACT_SECONDS: Final = 10.0
_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""A socket closed with this is reset, what was not sent is thrown away (socket(7))."""


class ChaosProxy:
    """Accepts on `port` and connects each to the target. Use it through `chaos_proxy`."""

    def __init__(self, target: int | str, *, seed: int) -> None:
        self.port = 0
        self.accepted = 0
        self.passed = {Way.UP: 0, Way.DOWN: 0}
        self._target = target
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        self._toxics: list[Toxic] = []
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()

    # From any thread

    def add(self, toxic: Toxic) -> None:
        """Let something go wrong from now on."""
        self._act(lambda: self._add(toxic))

    def clear(self) -> None:
        """Let all pass as it comes; what was swallowed stays so."""
        self._act(self._clear)

    def cut(self) -> int:
        """Reset every connection there is; return how many."""
        return self._act(self._cut)

    @property
    def links(self) -> int:
        """How many connections are open."""
        return self._act(lambda: len(self._links))

    def _act(self, act: Callable[[], T]) -> T:
        async def call() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(ACT_SECONDS)

    # On the loop

    def _add(self, toxic: Toxic) -> None:
        self._toxics.append(toxic)
        if toxic.kind is ToxicKind.DOWN:
            self._cut()

    def _clear(self) -> None:
        self._toxics.clear()

    def _cut(self) -> int:
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    def of(self, kind: ToxicKind, way: Way) -> Toxic | None:
        """Return the trouble of a kind that befalls a way now."""
        found = (item for item in self._toxics if item.kind is kind and item.befalls(way))
        return next(found, None)

    def wait(self, toxic: Toxic) -> float:
        return toxic.wait(self._chance)

    async def serve(self, started: Callable[[], None], stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = server.sockets[0].getsockname()[1]
        started()
        await stop.wait()
        server.close()
        self._cut()
        await asyncio.gather(*(link.ended() for link in list(self._links)))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.of(ToxicKind.DOWN, Way.UP) is not None:
            _reset(writer)
            return
        try:
            back, forth = await self._connect()
        except OSError:
            _reset(writer)
            return
        link = _Link(self, writer, forth)
        self._links.add(link)
        try:
            await link.run(reader, back)
        finally:
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(HOST, self._target)


class _Link:
    """One connection: two pumps, which end together."""

    def __init__(
        self, proxy: ChaosProxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._tasks: list[asyncio.Task[None]] = []
        self._done = asyncio.Event()
        self._sent = {Way.UP: 0, Way.DOWN: 0}

    async def run(self, forth: asyncio.StreamReader, back: asyncio.StreamReader) -> None:
        self._tasks = [
            asyncio.create_task(self._pump(Way.UP, forth, self._server)),
            asyncio.create_task(self._pump(Way.DOWN, back, self._client)),
        ]
        try:
            await asyncio.wait(self._tasks)
        finally:
            for writer in (self._client, self._server):
                writer.close()
            self._done.set()

    def reset(self) -> None:
        for writer in (self._client, self._server):
            _reset(writer)
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        await self._done.wait()

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._pass(way, data, writer)
        if (slow := self._proxy.of(ToxicKind.SLOW_CLOSE, way)) is not None:
            await asyncio.sleep(slow.seconds)
        with contextlib.suppress(OSError):
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()

    async def _pass(self, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        if await self._swallowed(way):
            return
        if (cut := proxy.of(ToxicKind.RESET_PEER, way)) is not None:
            await asyncio.sleep(cut.seconds)
            self.reset()
            return
        if (late := proxy.of(ToxicKind.LATENCY, way)) is not None:
            await asyncio.sleep(proxy.wait(late))
        limit = proxy.of(ToxicKind.LIMIT_DATA, way)
        if limit is not None:
            data = data[: max(0, limit.size - self._sent[way])]
        slicer = proxy.of(ToxicKind.SLICER, way)
        for piece in [data] if slicer is None else slicer.pieces(data):
            if (narrow := proxy.of(ToxicKind.BANDWIDTH, way)) is not None:
                await asyncio.sleep(len(piece) / narrow.rate)
            writer.write(piece)
            await writer.drain()
            self._sent[way] += len(piece)
            proxy.passed[way] += len(piece)
            if slicer is not None:
                await asyncio.sleep(slicer.seconds)
        if limit is not None and self._sent[way] >= limit.size:
            self.reset()

    async def _swallowed(self, way: Way) -> bool:
        """Tell whether a black hole has taken a piece; ends the connection at its time."""
        hole = self._proxy.of(ToxicKind.TIMEOUT, way)
        if hole is None:
            return False
        if hole.milliseconds:
            await asyncio.sleep(hole.seconds)
            self.reset()
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


@contextmanager
def chaos_proxy(target: int | str, *, seed: int = 1) -> Iterator[ChaosProxy]:
    """Serve a proxy to a port of loopback, or to a socket's path, until the block is left.

    It runs on a thread of its own.
    """
    proxy = ChaosProxy(target, seed=seed)
    loop = proxy._loop
    stop, started = asyncio.Event(), threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(proxy.serve(started.set, stop))
        loop.close()

    thread = threading.Thread(target=run, name="chaos-proxy", daemon=True)
    thread.start()
    if not started.wait(ACT_SECONDS):
        raise RuntimeError("The proxy has not started.")
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(ACT_SECONDS)
