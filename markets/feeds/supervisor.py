"""Keeps one consumer running for each row that asks for one and whose lease is held here.

Rows are followed twice: at once through the bus, and by a poll that repairs whatever message was
lost and starts anew whatever consumer has died.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import Error

from markets import groups
from markets.feeds.holding import Holding

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.8

ConsumerApp = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StreamKind:
    """One kind of consumer: which rows ask for it and how one is made.

    `wanted` reads the database and returns, for each key, a value that differs when the row's
    wishes changed. Bus messages about a row are called `<name>.changed` and carry `<name>_id`.
    One that `is_exclusive` must not run twice: it ends when its lease may have run out, while
    others go on through an outage of the database.
    """

    name: str
    wanted: Callable[[], Mapping[str, Hashable]]
    app: ConsumerApp
    is_exclusive: bool = False


class Supervisor:
    """Starts, follows and ends the consumers that this process holds the leases of."""

    def __init__(self, kinds: Sequence[StreamKind], holding: Holding) -> None:
        self._holding = holding
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
            await self._holding.leave()

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
            share = await self._holding.keep(kind.name, wanted)
        except Error as error:
            logger.warning("The list of %ss is out of reach: %s", kind.name, type(error).__name__)
            if kind.is_exclusive and self._holding.has_lapsed(kind.name):
                await self._end_all_but(kind, ())
            return
        kept = [key for key in wanted if key in share.fences and key not in share.give]
        await self._end_all_but(kind, kept)
        for key in kept:
            await self._keep(kind, key, wanted[key])
        if share.give:
            await self._give(kind, share.give)

    async def _give(self, kind: StreamKind, keys: Collection[str]) -> None:
        """Let others have streams that have ended here."""
        try:
            await self._holding.release(kind.name, keys)
        except Error as error:
            logger.warning("%ss are given away later: %s", kind.name, type(error).__name__)

    async def _end_all_but(self, kind: StreamKind, kept: Collection[str]) -> None:
        gone = [place for place in self._running if place[0] == kind.name and place[1] not in kept]
        await _end([self._running.pop(place) for place in gone])
        for place in gone:
            self._versions.pop(place, None)

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
