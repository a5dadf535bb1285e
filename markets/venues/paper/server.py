"""The paper venue as a loopback server: HTTP, websockets, prices, control, clean start and stop."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import WSMsgType, web

from markets.venues.paper.actor import Actor
from markets.venues.paper.answering import Answering, peer_of
from markets.venues.paper.config import PaperConfig, checked
from markets.venues.paper.control import control_routes
from markets.venues.paper.dialects import dialect_of
from markets.venues.paper.engine import Engine
from markets.venues.paper.faults import Fault, FaultKind, Faults, Stage
from markets.venues.paper.hub import Client
from markets.venues.paper.ledger import Ledger
from markets.venues.paper.replay import Player
from markets.venues.paper.venue import Venue
from markets.venues.types import Endpoint

HOST: Final = "127.0.0.1"
PING_SECONDS: Final = 180
MAX_BODY: Final = 1024 * 1024

logger = logging.getLogger(__name__)


class PaperVenue:
    """A running paper venue. Use `async with PaperVenue.start(config) as venue`."""

    def __init__(self, config: PaperConfig) -> None:
        self.core = Venue(checked(config))
        self.dialect = dialect_of(self.core)
        self.core.dialect = self.dialect
        self._answering = Answering(self.core)
        self.player: Player | None = None
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def start(cls, config: PaperConfig) -> "AsyncIterator[PaperVenue]":
        """Serve `config` on loopback until the block is left."""
        venue = cls(config)
        runner = web.AppRunner(venue._application(), access_log=None, shutdown_timeout=1)
        try:
            await runner.setup()
            site = web.TCPSite(runner, HOST, config.port, backlog=1024)
            await site.start()
            venue.port = runner.addresses[0][1]
            venue._start_tasks()
            yield venue
        finally:
            venue._answering.close()
            await venue._stop_tasks()
            await runner.cleanup()
            venue.core.ledger.close()

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(rest=self.rest_url, websocket=self.ws_url)

    @property
    def faults(self) -> Faults:
        return self.core.faults

    @property
    def ledger(self) -> Ledger:
        return self.core.ledger

    @property
    def engine(self) -> Engine:
        return self.core.engine

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        if self.core.config.control:
            app.add_routes(control_routes(self.core))
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    # Tasks

    def _start_tasks(self) -> None:
        config = self.core.config
        if config.replay:
            self.player = Player(self.core, config.replay, publish=self.dialect.publish_quote)
            self.player.prime()
            self._spawn(self.player.run(), "replay")
        self._spawn(self._walk(), "prices")
        self._spawn(self._count_seconds(), "seconds")
        if config.actor is not None:
            self._spawn(Actor(self.core, config.actor).run(), "actor")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _walk(self) -> None:
        step = self.core.config.step_ms / 1000
        due = time.monotonic()
        while True:
            self.core.step_prices()
            due = max(due + step, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _count_seconds(self) -> None:
        second = 0
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            second += 1
            self.core.pass_second(second)

    # Requests

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        return await self._answering.answer(request)

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        streams = self.dialect.accept_socket(request.path, request.query)
        if streams is None:
            return web.Response(status=404)
        fault = self._socket_fault(streams)
        if fault is not None and fault.kind is FaultKind.WS_REFUSE:
            return web.Response(status=fault.status)
        socket = web.WebSocketResponse(compress=False, heartbeat=PING_SECONDS, max_msg_size=65536)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        hub = self.core.hub
        combined = self.dialect.is_combined(request.path)
        client = hub.join(request.path, transport, combined=combined, peer=peer_of(request))
        hub.subscribe(client, streams)
        if fault is not None:
            client.end(fault.code)
        self._tell_socket("connect", client, streams)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    answer = self.dialect.client_message(client, message.data)
                    if answer is not None:
                        hub.send(client, answer)
        finally:
            self._tell_socket("disconnect", client, tuple(client.streams))
            hub.leave(client)
        return socket

    def _socket_fault(self, streams: Collection[str]) -> Fault | None:
        """Return what befalls a new socket that starts with `streams`."""
        for subject in self.core.socket_subjects(streams):
            if (taken := self.core.faults.take(Stage.SOCKET, subject)) is not None:
                return taken.fault
        return None

    def _tell_socket(self, kind: str, client: Client, streams: Collection[str]) -> None:
        """Write a connection down; a path may hold a listen key, so only its head is told."""
        accounts = {self.dialect.stream_subject(stream).account for stream in streams}
        self.core.ledger.append(
            kind,
            self.core.now_ns(),
            clientId=client.client_id,
            path="/" + client.path.split("/")[1],
            accounts=sorted(accounts - {""}),
        )


def _log_failure(task: "asyncio.Task[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        error = task.exception()
        if error is not None:
            logger.error("The paper venue's %s stopped: %r", task.get_name(), error)
