"""A relay that stands before a paper venue and puts lies into what it says, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from markets.venues.types import Endpoint

Lie = Callable[[Any], Any]


def honest(said: Any) -> Any:
    return said


def with_fields(**lies: Any) -> Lie:
    """Return a lie that gives every field of these names another value, however deep it stands."""

    def lie(said: Any) -> Any:
        if isinstance(said, list):
            return [lie(item) for item in said]
        if isinstance(said, dict):
            return {key: lies[key] if key in lies else lie(value) for key, value in said.items()}
        return said

    return lie


class Liar:
    """Passes all on to the venue at `rest`; `answers` and `frames` change what comes back.

    Only answers on a path that ends with `path` are changed. A lie may return bytes, to be sent
    as they are.
    """

    def __init__(self, rest: str) -> None:
        self._rest = URL(rest)
        self.path = ""
        self.answers: Lie = honest
        self.frames: Lie = honest
        self._port = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self._port}", f"ws://127.0.0.1:{self._port}")

    @asynccontextmanager
    async def serve(self) -> "AsyncIterator[Liar]":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        async with aiohttp.ClientSession(auto_decompress=True) as self._http:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        url = URL(str(self._rest) + request.raw_path, encoded=True)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._relay(request, url)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _OWN}
        async with self._http.request(
            request.method, url, data=await request.read(), headers=headers
        ) as answer:
            body = await answer.read()
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _OWN}
            if request.path.endswith(self.path):
                body = _changed(body, self.answers)
            return web.Response(body=body, status=answer.status, headers=kept)

    async def _relay(self, request: web.Request, url: URL) -> web.WebSocketResponse:
        ours = web.WebSocketResponse()
        await ours.prepare(request)
        async with self._http.ws_connect(url) as theirs:

            async def onwards() -> None:
                async for message in ours:
                    await theirs.send_str(message.data)

            async def back() -> None:
                async for message in theirs:
                    await ours.send_str(_changed(message.data, self.frames).decode())

            tasks = [asyncio.create_task(onwards()), asyncio.create_task(back())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task
        return ours


_OWN = frozenset({"host", "content-length", "content-encoding", "transfer-encoding"})


def _changed(body: str | bytes, lie: Lie) -> bytes:
    """Return the text with a lie in it; numbers keep their own digits."""
    plain = body.encode() if isinstance(body, str) else body
    if lie is honest:
        return plain
    told = lie(json.loads(plain))
    return told if isinstance(told, bytes) else json.dumps(told).encode()
