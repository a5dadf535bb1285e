"""Keeps one consumer running for each row that asks for one.

Rows are followed twice: at once through the bus, and by a poll that repairs whatever message was
lost and starts anew whatever consumer has died.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import Error

from markets import groups

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.8

ConsumerApp = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StreamKind:
    """One kind of consumer: which rows ask for it and how one is made.

    `wanted` reads the database and returns, for each key, a value that differs when the row's
    wishes changed. Bus messages about a row are called `<name>.changed` and carry `<name>_id`.
    """

    name: str
    wanted: Callable[[], Mapping[str, Hashable]]
    app: ConsumerApp


class Supervisor:
    """Starts, follows and ends consumers of several kinds."""

    def __init__(self, kinds: Sequence[StreamKind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._versions: dict[tuple[str, str], Hashable] = {}
        self._news = asyncio.Event()

    @property
    def running(self) -> list[tuple[str, str]]:
        """The (kind, key) of every consumer at work."""
        return [key for key, task in self._running.items() if not task.done()]

    async def run(self) -> None:
        """Run until cancelled; ends every consumer then."""
        listener = asyncio.create_task(self._listen(), name="feeds-supervisor")
        try:
            while True:
                self._news.clear()
                for kind in self._kinds.values():
                    await self._follow(kind)
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            await _end([listener, *self._running.values()])

    async def _listen(self) -> None:
        """Look at once when the bus says that a row of ours is new or changed."""
        layer = get_channel_layer()
        assert layer is not None
        channel = await layer.new_channel()
        await layer.group_add(groups.FEEDS, channel)
        try:
            while True:
                await layer.receive(channel)
                self._news.set()
        finally:
            await layer.group_discard(groups.FEEDS, channel)

    async def _follow(self, kind: StreamKind) -> None:
        try:
            wanted = await database_sync_to_async(kind.wanted)()
        except Error as error:
            logger.warning("The list of %ss is out of reach: %s", kind.name, type(error).__name__)
            return
        for key, version in wanted.items():
            await self._keep(kind, key, version)
        for name, key in list(self._running):
            if name == kind.name and key not in wanted:
                await _end([self._running.pop((name, key))])
                self._versions.pop((name, key), None)

    async def _keep(self, kind: StreamKind, key: str, version: Hashable) -> None:
        place = (kind.name, key)
        task = self._running.get(place)
        if task is None or task.done():
            self._running[place] = asyncio.create_task(
                _consume(kind, key), name=f"{kind.name} {key}"
            )
        elif self._versions[place] != version:
            layer = get_channel_layer()
            assert layer is not None
            message = {"type": f"{kind.name}.changed", f"{kind.name}_id": key}
            await layer.group_send(groups.FEEDS, message)
        self._versions[place] = version


async def _consume(kind: StreamKind, key: str) -> None:
    opening: list[dict[str, str]] = [{"type": "stream.open"}]

    async def receive() -> dict[str, str]:
        if opening:
            return opening.pop()
        return await asyncio.Future()  # no client ever speaks

    async def send(message: Mapping[str, Any]) -> None:
        """No client listens."""

    try:
        await kind.app({"type": kind.name, "key": key}, receive, send)
    except Exception:
        logger.exception("The consumer of %s %s died; it is started again.", kind.name, key)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
