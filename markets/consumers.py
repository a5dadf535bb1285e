"""Channels consumers that hold venue sockets, one for each row that asks for one.

They are no websocket consumers for people: `run_feeds` starts them (see `feeds/supervisor.py`),
and messages of the bus reach them through their group like any other Channels message.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Generic, TypeVar

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from django.db import Error

from controlplane.kernel.clock import SYSTEM_CLOCK, Clock
from markets import groups
from markets.choices import FeedSource
from markets.feeds.board import QuoteBoard
from markets.feeds.line import FeedLine
from markets.feeds.plans import FeedPlan, feed_plan
from markets.feeds.polling import run_polling
from markets.feeds.standby import Standby, poll_seconds
from markets.feeds.trunks import TrunkKind, Trunks
from markets.venues.errors import VenueError
from markets.venues.registry import VenueRegistry, dialect_facts

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
BROKEN_SECONDS: Final = 30.0
"""How long a stream rests after trouble that trying again at once does not mend."""

MARKS_SILENCE: Final = 10.0
"""How long a stream of marks, which come each second or so, may at least be silent."""

Plan = TypeVar("Plan")
Stream = Callable[[], Coroutine[Any, Any, None]]


class StreamConsumer(AsyncConsumer, Generic[Plan]):
    """Holds the sockets of one row, its key in the scope; follows changes of the row.

    Subclasses say what the row asks for (`load`; None: nothing any more) and which streams that
    makes (`streams`). A changed plan restarts the streams; an unchanged one leaves them alone.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        self.key = ""
        self.plan: Plan | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def load(self) -> Plan | None:
        """Return what the row asks for now, None when it is gone or switched off."""
        raise NotImplementedError

    def streams(self, plan: Plan) -> Sequence[Stream]:
        """Return the streams of a plan; each is run until the plan changes."""
        raise NotImplementedError

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.key = scope["key"]
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stop()
            await self.channel_layer.group_discard(groups.FEEDS, self.channel_name)

    async def stream_open(self, message: dict[str, Any]) -> None:
        """Begin: join the group first, so that no change falls between."""
        await self.channel_layer.group_add(groups.FEEDS, self.channel_name)
        await self._reload()

    async def feed_changed(self, message: dict[str, Any]) -> None:
        await self._changed("feed", message.get("feed_id"))

    async def account_changed(self, message: dict[str, Any]) -> None:
        await self._changed("account", message.get("account_id"))

    async def _changed(self, kind: str, key: str | None) -> None:
        if kind == self.kind and key == self.key:
            await self._reload()

    async def _reload(self) -> None:
        plan = await _until_answered(self.load)
        if plan is not None and plan == self.plan:
            return
        await self._stop()
        self.plan = plan
        if plan is None:
            raise StopConsumer
        self._tasks = [asyncio.create_task(self._keep(stream)) for stream in self.streams(plan)]

    async def _keep(self, stream: Stream) -> None:
        while True:
            try:
                await stream()
            except VenueError as error:
                logger.error("%s %s has no stream: %s", self.kind, self.key, error.message)
            except Exception:
                logger.exception("The stream of %s %s broke.", self.kind, self.key)
            await asyncio.sleep(BROKEN_SECONDS)

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_answered(load: Callable[[], Awaitable[Plan | None]]) -> Plan | None:
    """Read the row; while the database is away, what runs keeps running."""
    while True:
        try:
            return await load()
        except Error as error:
            logger.warning("A row could not be read (%s); trying again.", type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)


class FeedConsumer(StreamConsumer[FeedPlan]):
    """Puts the quotes of one market data feed on the board."""

    kind = "feed"

    def __init__(
        self,
        *,
        board: QuoteBoard,
        registry: VenueRegistry,
        standby: Standby,
        trunks: Trunks,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._trunks = trunks
        self._board = board
        self._registry = registry
        self._standby = standby
        self._clock = clock
        self._line: FeedLine | None = None

    async def load(self) -> FeedPlan | None:
        found = await database_sync_to_async(feed_plan)(self.key)
        if found is None:
            self._clear()
            return None
        plan, record = found
        if plan != self.plan:
            self._clear()
            self._line = line = FeedLine(
                plan.feed_id,
                plan.symbol,
                fresh_ms=plan.fresh_ms,
                failover_ms=plan.failover_ms,
                since=self._clock.now(),
                is_polled=not dialect_facts(plan.dialect).has_streams,
                forced=plan.forced,
                synthetic_sources=plan.synthetic_sources,
                venue_clock=self._standby.clocks.of(plan.dialect, plan.endpoint),
            )
            if record.last_heartbeat is not None and plan.forced is None:
                line.remember(record.last_heartbeat, self._clock)
            line.resume(record.status)
            self._board.open(line)
        return plan

    def streams(self, plan: FeedPlan) -> Sequence[Stream]:
        line, symbol = self._line, plan.venue_symbol
        assert line is not None
        if symbol is None:
            line.link = "no instrument"
            return ()
        silence = plan.failover_ms / 1000
        quotes = TrunkKind(plan.dialect, plan.endpoint, silence)
        marks = replace(quotes, silence=max(silence, MARKS_SILENCE), is_marks=True)

        def stand_by() -> Coroutine[Any, Any, None]:
            return self._standby.serve(line, symbol, plan.dialect, plan.endpoint)

        def tell_time() -> Coroutine[Any, Any, None]:
            return self._standby.clocks.serve(plan.dialect, plan.endpoint)

        if plan.forced is not None:
            line.link = "left aside by a person"
            return (stand_by, tell_time) if plan.forced is FeedSource.HTTP else ()
        if line.is_polled:
            return (lambda: self._poll(plan, line, symbol), tell_time)

        return (
            lambda: self._trunks.serve(quotes, symbol, line.take, line.connected),
            lambda: self._trunks.serve(marks, symbol, line.take, line.marks_connected),
            stand_by,
            tell_time,
        )

    async def _poll(self, plan: FeedPlan, line: FeedLine, symbol: str) -> None:
        client = self._registry.market_client(plan.dialect, plan.endpoint)
        try:
            await run_polling(
                client,
                symbol,
                line.take,
                clock=self._clock,
                on_link=line.connected,
                seconds=poll_seconds(plan.fresh_ms),
            )
        finally:
            await client.close()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._clear()

    def _clear(self) -> None:
        if self._line is not None:
            self._board.close(self._line)
            self._line = None
