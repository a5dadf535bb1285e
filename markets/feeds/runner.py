"""The one websocket runner: connects, reads, backs off and reconnects for every pure session.

A session knows frames and no sockets; the runner knows sockets and no frames. A connection is
opened anew from scratch each time (address, session, listen key), so what a session remembers
never outlives its connection.
"""

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from controlplane.kernel.clock import Clock
from controlplane.kernel.secrets import redact
from markets.feeds.connects import connect_place
from markets.feeds.socket import MAX_FRAME, StreamSocket
from markets.feeds.vigil import StreamCut, Vigil
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    RateLimited,
    VenueError,
    VenueRejected,
)
from markets.venues.moments import timed
from markets.venues.registry import EndpointRefused, UnknownDialect
from markets.venues.shared import tls_context
from markets.venues.sockets import CONFIRMED, USUAL, Channels, SocketLimits
from markets.venues.types import StreamEnded

logger = logging.getLogger(__name__)

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0
STEADY_SECONDS: Final = 10.0
"""A connection that stood this long was a good one: the next delay is short again."""
PING_SECONDS: Final = 20.0
HEARTBEAT_SECONDS: Final = 20.0
"""Between two heartbeats of a venue that wants its own; Pacifica cuts a socket after 60 s."""
SAY_SECONDS: Final = 0.5
"""Between two times that something is said on a connection; Binance takes ten messages a second."""
CONFIRM_SECONDS: Final = 1.0
OPEN_SECONDS: Final = 8.0
"""Below the usual failover deadline of ten: within it a feed says that nobody answers there."""
CLOSE_SECONDS: Final = 1.0
LIFE_SHARE: Final = 0.90, 0.98
"""When within a venue's longest life a socket is replaced; spread, so not all go at once."""

FATAL: Final = (
    AuthenticationFailed,
    MissingCredential,
    EndpointRefused,
    UnknownDialect,
    InvalidURI,
)
"""Trouble that trying again does not mend: a person must act."""
PASSING: Final = (OSError, TimeoutError, WebSocketException, VenueError, StreamCut)

Event = TypeVar("Event")
EventOut = TypeVar("EventOut", covariant=True)


class Session(Protocol[EventOut]):
    """Frames in, events out; never raises on a bad frame."""

    def receive(self, frame: str | bytes) -> Sequence[EventOut]: ...


@dataclass(frozen=True, slots=True)
class Opening(Generic[Event]):
    """One connection to be: where, whose frames, what to say first and what to keep it.

    `channels` must all have spoken before it counts as standing; `limits` are its venue's. `more`
    returns what to say next while it stands, as soon as there is something.
    `confirm` is asked once the socket is open and a ping was answered on it, and again each second
    while it raises VenueError, except VenueRejected, which ends the connection; when it returns,
    the channel CONFIRMED has spoken.
    """

    url: str
    session: Session[Event]
    frames: Sequence[str] = ()
    heartbeat: str | None = None
    channels: Channels = field(default_factory=Channels)
    limits: SocketLimits = USUAL
    is_private: bool = False
    more: Callable[[], Awaitable[Sequence[str]]] | None = None
    confirm: Callable[[], Awaitable[None]] | None = None


class LinkWatcher(Protocol):
    """Told when a connection stands, every channel proven, and when it is lost, with the reason."""

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
    block. A `StreamEnded` event makes the runner open the stream anew, and so do channels that
    stay silent after a connection, the end of a socket's life, and, with `silence_seconds`, a
    connection without a single event for so long, though it may answer pings. A message too large
    is an event `Quarantined`; what is no frame is one too, and ends its connection. A socket is
    closed before the next is opened: what a private stream misses meanwhile, `on_link` has read
    again.
    Raises what is FATAL; all else is tried again, with jittered delays from a second to a minute
    and within the venue's connect budget.
    """
    delay, stood = FIRST_DELAY, math.inf

    def note(connected: bool, reason: str, /) -> None:
        nonlocal stood
        stood = clock.monotonic() if connected else stood
        on_link(connected, reason)

    while True:
        stood, wait, is_planned = math.inf, 0.0, False
        try:
            opening = await open_stream()
            await _connection(opening, on_events, clock, note, silence_seconds, proxy_url)
            reason = "the venue ended the stream"
        except FATAL as error:
            on_link(False, _said(error))
            raise
        except PASSING as error:
            reason = _said(error)
            wait = error.retry_after if isinstance(error, RateLimited) else 0.0
            is_planned = isinstance(error, StreamCut) and error.is_planned
        on_link(False, reason)
        if clock.monotonic() - stood >= STEADY_SECONDS:
            delay = FIRST_DELAY
        pause = max(wait, delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
        if is_planned:
            pause, delay = 0.0, FIRST_DELAY
        logger.info("Stream %s ended (%s); opening it again in %.1f s.", name, reason, pause)
        await asyncio.sleep(pause)
        delay = min(delay * 2, LONGEST_DELAY)


async def _connection(
    opening: Opening[Event],
    on_events: Callable[[Sequence[Event], float], None],
    clock: Clock,
    on_link: LinkWatcher,
    silence_seconds: float | None,
    proxy_url: str | None,
) -> None:
    """Hold one connection from its place in the budget to its end."""
    place = connect_place(
        opening.url,
        proxy_url=proxy_url,
        limits=opening.limits,
        clock=clock,
        is_private=opening.is_private,
        on_wait=lambda reason: on_link(False, reason),
    )
    async with place:
        async with asyncio.timeout(OPEN_SECONDS):
            socket = await _connect(opening.url, proxy_url)
        async with socket:
            try:
                await _Reader(opening, on_events, clock, on_link, silence_seconds).read(socket)
            except ConnectionClosed:
                if socket.unread is not None:
                    on_events((cast(Event, socket.unread),), clock.monotonic())
                raise


def _said(error: Exception) -> str:
    text = str(error) if isinstance(error, StreamCut) else f"{type(error).__name__}: {error}"
    return redact(text[:200])


async def _connect(url: str, proxy_url: str | None) -> StreamSocket:
    made = await connect(
        url,
        create_connection=StreamSocket,
        ssl=tls_context() if url.startswith("wss:") else None,
        proxy=proxy_url,
        **_proxy_tls(proxy_url),
        compression=None,
        open_timeout=OPEN_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=PING_SECONDS,
        close_timeout=CLOSE_SECONDS,
        max_size=MAX_FRAME,
    )
    assert isinstance(made, StreamSocket)
    return made


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
        on_link: LinkWatcher,
        silence_seconds: float | None,
    ) -> None:
        self._opening = opening
        self._on_events = on_events
        self._on_link = on_link
        self._clock = clock
        self._stands = False
        self._cut: StreamCut | None = None
        self._vigil = Vigil(
            clock.monotonic(),
            opening.channels,
            life=opening.limits.life_seconds * random.uniform(*LIFE_SHARE),  # noqa: S311
            silence=silence_seconds,
        )

    async def read(self, socket: StreamSocket) -> None:
        """Return when the venue says the stream is over; raises when it breaks or is cut."""
        opening = self._opening
        for frame in opening.frames:
            await socket.send(frame)
        helpers = [
            asyncio.create_task(work)
            for work in (
                opening.heartbeat and _beat(socket, opening.heartbeat),
                opening.more and _say(socket, opening.more),
                opening.confirm and self._confirm(socket, opening.confirm),
            )
            if work
        ]
        try:
            await self._watch_and_read(socket)
        finally:
            for helper in helpers:
                helper.cancel()

    async def _confirm(
        self, socket: ClientConnection, confirm: Callable[[], Awaitable[None]]
    ) -> None:
        """Have the connection confirmed; cut it when it hangs on nothing any more."""
        with contextlib.suppress(ConnectionClosed):
            await (await socket.ping())
            while True:
                try:
                    await confirm()
                    break
                except VenueRejected as error:
                    self._cut = StreamCut(error.message)
                    await socket.close()
                    return
                except VenueError as error:
                    logger.info("A stream is not confirmed yet: %s", error.message)
                    await asyncio.sleep(CONFIRM_SECONDS)
            self._opening.channels.spoke(CONFIRMED)
            self._note_standing()

    def _note_standing(self) -> None:
        if not (self._stands or self._opening.channels.missing):
            self._stands = True
            self._on_link(True, "")

    async def _watch_and_read(self, socket: StreamSocket) -> None:
        try:
            async with asyncio.timeout(None) as patience:
                watch = asyncio.create_task(self._watch(patience))
                try:
                    await self._read(socket)
                finally:
                    watch.cancel()
        except (TimeoutError, ConnectionClosed):
            if self._cut is None:
                raise
            raise self._cut from None

    async def _read(self, socket: StreamSocket) -> None:
        receive, on_events = timed(self._opening.session.receive), self._on_events
        monotonic, vigil = self._clock.monotonic, self._vigil
        missing = self._opening.channels.missing
        self._note_standing()

        def hand(message: bytes) -> bool:
            events = receive(message)
            if not (missing or self._stands):
                self._note_standing()
            if not events:
                return False
            vigil.heard = received = monotonic()
            on_events(events, received)
            return isinstance(events[-1], StreamEnded)

        await socket.run(hand, lambda unread: on_events((cast(Event, unread),), monotonic()))

    async def _watch(self, patience: asyncio.Timeout) -> None:
        vigil, monotonic = self._vigil, self._clock.monotonic
        while True:
            if (cut := vigil.verdict(monotonic())) is not None:
                self._cut = cut
                break
            await asyncio.sleep(vigil.next_look(monotonic()))
        patience.reschedule(asyncio.get_running_loop().time())


async def _beat(socket: ClientConnection, frame: str) -> None:
    """Say `frame` now and then until cancelled; a broken connection is the reader's to notice."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await socket.send(frame)


async def _say(socket: ClientConnection, more: Callable[[], Awaitable[Sequence[str]]]) -> None:
    """Say what there is to say until cancelled, gathered so that it is never too much at once."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            for frame in await more():
                await socket.send(frame)
            await asyncio.sleep(SAY_SECONDS)
