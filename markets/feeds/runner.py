"""The one websocket runner: connects, reads, backs off and reconnects for every pure session.

A session knows frames and no sockets; the runner knows sockets and no frames. A connection is
opened anew from scratch each time (address, session, listen key), so what a session remembers
never outlives its connection.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from controlplane.kernel.clock import Clock
from controlplane.kernel.secrets import redact
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    RateLimited,
    VenueError,
)
from markets.venues.registry import EndpointRefused, UnknownDialect
from markets.venues.shared import tls_context
from markets.venues.types import StreamEnded

logger = logging.getLogger(__name__)

MAX_FRAME: Final = 1024 * 1024
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 60.0
STEADY_SECONDS: Final = 10.0
"""A connection that lived this long was a good one: the next delay is short again."""
PING_SECONDS: Final = 20.0
HEARTBEAT_SECONDS: Final = 20.0
"""Between two heartbeats of a venue that wants its own; Pacifica cuts a socket after 60 s."""
OPEN_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 1.0

FATAL: Final = (
    AuthenticationFailed,
    MissingCredential,
    EndpointRefused,
    UnknownDialect,
    InvalidURI,
)
"""Trouble that trying again does not mend: a person must act."""
PASSING: Final = (OSError, TimeoutError, WebSocketException, VenueError)

Event = TypeVar("Event")
EventOut = TypeVar("EventOut", covariant=True)


class Session(Protocol[EventOut]):
    """Frames in, events out; never raises on a bad frame."""

    def receive(self, frame: str | bytes) -> Sequence[EventOut]: ...


@dataclass(frozen=True, slots=True)
class Opening(Generic[Event]):
    """One connection to be: where, whose frames, what to say first and what to keep it."""

    url: str
    session: Session[Event]
    frames: Sequence[str] = ()
    heartbeat: str | None = None


class LinkWatcher(Protocol):
    """Told when a connection stands and when it is lost, with the reason."""

    def __call__(self, connected: bool, reason: str, /) -> None: ...


def _nobody(connected: bool, reason: str, /) -> None:
    """Watch nothing."""


async def run_session(
    open_stream: Callable[[], Awaitable[Opening[Event]]],
    on_events: Callable[[Sequence[Event], float], None],
    *,
    clock: Clock,
    name: str,
    on_link: LinkWatcher = _nobody,
    silence_seconds: float | None = None,
    proxy_url: str | None = None,
) -> None:
    """Run a stream until cancelled.

    `on_events` gets what each frame says and its receipt on the monotonic clock; it must not
    block. A `StreamEnded` event makes the runner open the stream anew. With `silence_seconds` a
    connection without a single event for so long is dropped, though it may answer pings.
    Raises what is FATAL; all else is tried again, with jittered delays up to a minute.
    """
    delay = FIRST_DELAY
    while True:
        started = clock.monotonic()
        wait = 0.0
        try:
            opening = await open_stream()
            reader = _Reader(opening, on_events, clock, silence_seconds)
            async with asyncio.timeout(OPEN_SECONDS):
                socket = await _connect(opening.url, proxy_url)
            async with socket:
                on_link(True, "")
                await reader.read(socket)
            reason = "the venue ended the stream"
        except FATAL as error:
            on_link(False, _said(error))
            raise
        except PASSING as error:
            reason = _said(error)
            wait = error.retry_after if isinstance(error, RateLimited) else 0.0
        on_link(False, reason)
        if clock.monotonic() - started >= STEADY_SECONDS:
            delay = FIRST_DELAY
        pause = max(wait, delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
        logger.info("Stream %s ended (%s); opening it again in %.1f s.", name, reason, pause)
        await asyncio.sleep(pause)
        delay = min(delay * 2, LONGEST_DELAY)


def _said(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}"[:200])


async def _connect(url: str, proxy_url: str | None) -> ClientConnection:
    return await connect(
        url,
        ssl=tls_context() if url.startswith("wss:") else None,
        proxy=proxy_url,
        **_proxy_tls(proxy_url),
        compression=None,
        open_timeout=OPEN_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=PING_SECONDS,
        close_timeout=CLOSE_SECONDS,
        max_size=MAX_FRAME,
        max_queue=(1024, 256),
    )


def _proxy_tls(proxy_url: str | None) -> dict[str, Any]:
    """Return how to speak TLS to the proxy itself; only an https one is spoken to so."""
    is_tls = proxy_url is not None and proxy_url.startswith("https:")
    return {"proxy_ssl": tls_context()} if is_tls else {}


class _Reader(Generic[Event]):
    """Reads one connection to its end."""

    def __init__(
        self,
        opening: Opening[Event],
        on_events: Callable[[Sequence[Event], float], None],
        clock: Clock,
        silence_seconds: float | None,
    ) -> None:
        self._opening = opening
        self._on_events = on_events
        self._clock = clock
        self._silence = silence_seconds
        self._heard = 0.0

    async def read(self, socket: ClientConnection) -> None:
        """Return when the venue says the stream is over; raises when it breaks or falls silent."""
        for frame in self._opening.frames:
            await socket.send(frame)
        if self._opening.heartbeat is None:
            return await self._watch_and_read(socket)
        beating = asyncio.create_task(_beat(socket, self._opening.heartbeat))
        try:
            await self._watch_and_read(socket)
        finally:
            beating.cancel()

    async def _watch_and_read(self, socket: ClientConnection) -> None:
        self._heard = self._clock.monotonic()
        if self._silence is None:
            return await self._read(socket)
        async with asyncio.timeout(None) as patience:
            watch = asyncio.create_task(self._watch(patience, self._silence))
            try:
                await self._read(socket)
            finally:
                watch.cancel()

    async def _read(self, socket: ClientConnection) -> None:
        receive, recv = self._opening.session.receive, socket.recv
        on_events, monotonic = self._on_events, self._clock.monotonic
        while True:
            frame = await recv(decode=False)
            events = receive(frame)
            if events:
                self._heard = received = monotonic()
                on_events(events, received)
                if isinstance(events[-1], StreamEnded):
                    return

    async def _watch(self, patience: asyncio.Timeout, silence: float) -> None:
        while True:
            left = silence - (self._clock.monotonic() - self._heard)
            if left <= 0:
                patience.reschedule(asyncio.get_running_loop().time())
                return
            await asyncio.sleep(left)


async def _beat(socket: ClientConnection, frame: str) -> None:
    """Say `frame` now and then until cancelled; a broken connection is the reader's to notice."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await socket.send(frame)
