"""One account's private stream: held, prolonged, written down, and its gaps repaired."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from django.conf import settings
from django.db import Error, close_old_connections

from accounts import egress, observations
from accounts.choices import SyncStatus
from accounts.models import ExchangeAccount
from accounts.services import (
    account_sync,
    stream_disbelieve,
    stream_heard,
    stream_observe,
    stream_tell,
)
from controlplane import bus
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.clock import SYSTEM_CLOCK, Clock
from markets.feeds.disbelief import Disbelief
from markets.feeds.runner import Opening, run_session
from markets.venues.errors import VenueError, VenueRejected
from markets.venues.ports import ExecutionClient
from markets.venues.registry import VenueRegistry, dialect_facts
from markets.venues.types import (
    AccountUpdate,
    FillReport,
    OrderUpdate,
    PrivateEvent,
    Quarantined,
    StreamEnded,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")
Received = tuple[PrivateEvent, datetime]
"""What a private stream said, and when we received it."""

ACTOR: Final = Actor(name="private-stream", surface=Surface.FEED)
HEARD_SECONDS: Final = 5.0
GATHER_SECONDS: Final = 0.002
"""A trade comes as two frames, the position first; waiting this little joins them."""
FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 30.0

# Few threads for many accounts, so few database connections; order is kept per account. What is
# done about news (looks at whole books, and over HTTP) takes long, so it has threads of its own
# and never holds up what streams say.
_writers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="account-stream")
_tellers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="account-news")
_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="account-repair")


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """Timing of private streams, in seconds.

    A listen key lives 60 minutes and is prolonged long before; when that fails again and again, a
    key is asked for anew at half its life (`renew_seconds`), while the old one still works.
    A stream that does not stand for `trouble_seconds` is told of.
    """

    keep_seconds: float = 600.0
    keep_retry_seconds: float = 30.0
    renew_seconds: float = 1500.0
    trouble_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What a stream runs on; equal plans need no new stream. `route` is None without keys."""

    route: egress.Route | None
    account: ExchangeAccount = field(compare=False)


def stream_plan(account_id: str) -> StreamPlan | None:
    """Return the account's plan, None when it is gone or its venue is switched off."""
    account = ExchangeAccount.objects.syncable().for_sync().filter(pk=account_id).first()
    if account is None:
        return None
    try:
        return StreamPlan(egress.route_of(account), account)
    except VenueError as error:
        logger.warning("The private stream of %s cannot be opened: %s", account_id, error.message)
        return StreamPlan(None, account)


class PrivateStream:
    """Runs one account's stream on the running loop; the database is met on other threads."""

    def __init__(
        self, plan: StreamPlan, *, terms: StreamTerms, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        assert plan.route is not None
        self._account = plan.account
        self._route = plan.route
        self._terms = terms
        self._clock = clock
        self._registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)
        self._url = ""
        self._connected = False
        self._lost_at: float | None = clock.monotonic()
        self._reason = "not connected"
        self._is_told = False
        self._waiting: list[Received] = []
        self._untold: list[Received] = []
        self._followups: list[observations.Followup] = []
        self._news = asyncio.Event()
        self._written = asyncio.Event()
        self._gap = asyncio.Event()
        self._stood_up = asyncio.Event()
        self._alarm = asyncio.Event()
        self._disbelief = Disbelief()

    async def run(self) -> None:
        """Run until cancelled. Raises what a person must mend, such as a refused key."""
        client = egress.new_client(self._account)
        helpers = [
            asyncio.create_task(work)
            for work in (self._write(), self._tell(), self._repair(), self._note())
        ]
        try:
            while True:
                await self._hold(client)
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await client.close()

    async def _hold(self, client: ExecutionClient) -> None:
        """Hold the stream until its listen key cannot be prolonged any more."""
        proxy = self._route.proxy_url
        session = asyncio.create_task(
            run_session(
                partial(self._open, client),
                self._take,
                clock=self._clock,
                name=f"{self._account.pk} private",
                on_link=self._link,
                proxy_url=proxy.reveal() if proxy is not None else None,
            )
        )
        keeper = asyncio.create_task(self._keep(client))
        try:
            await asyncio.wait({session, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if session.done():
                session.result()
        finally:
            for task in (session, keeper):
                task.cancel()
            await asyncio.gather(session, keeper, return_exceptions=True)
            if self._connected:
                self._link(False, "its key is replaced")

    async def _open(self, client: ExecutionClient) -> Opening[PrivateEvent]:
        address = await client.open_private_stream()
        self._url = address.url
        session = self._registry.private_session(self._route.dialect)
        return Opening(
            address.url,
            session,
            address.frames,
            address.heartbeat,
            session.channels,
            dialect_facts(self._route.dialect).sockets,
            is_private=True,
            confirm=partial(client.confirm_private_stream, address),
        )

    async def _keep(self, client: ExecutionClient) -> None:
        """Prolong the listen key well before its end; return when another one must be used."""
        terms, monotonic = self._terms, self._clock.monotonic
        kept_at, pause = monotonic(), terms.keep_seconds
        while True:
            await asyncio.sleep(pause)
            try:
                if monotonic() - kept_at < terms.renew_seconds:
                    await client.keep_private_stream()
                elif (await client.open_private_stream()).url != self._url:
                    return
                kept_at, pause = monotonic(), terms.keep_seconds
            except VenueRejected as error:
                logger.info(
                    "The stream key of %s is gone (%s).", self._account.pk, error.venue_code
                )
                return
            except VenueError as error:
                logger.warning("The stream key of %s: %s", self._account.pk, error.message)
                pause = terms.keep_retry_seconds

    # What comes in, on the loop: never waits

    def _take(self, events: Sequence[PrivateEvent], _received: float) -> None:
        at = self._clock.now()
        for event in events:
            if isinstance(event, Quarantined):
                self._disbelieve(event)
            elif not isinstance(event, StreamEnded):
                self._waiting.append((event, at))
        if self._waiting:
            self._news.set()

    def _disbelieve(self, event: Quarantined) -> None:
        """Something happened that we could not read: look for ourselves."""
        if self._disbelief.note(event, self._clock.monotonic()):
            self._alarm.set()
            logger.warning(
                "A frame of %s was not believed: %s %s",
                self._account.pk,
                event.reason,
                event.detail,
            )
        self._gap.set()

    def _link(self, connected: bool, reason: str) -> None:
        self._connected = connected
        if connected:
            self._lost_at = None
            self._gap.set()
            self._stood_up.set()
        else:
            self._reason = reason
            if self._lost_at is None:
                self._lost_at = self._clock.monotonic()

    # What is done about it, on other threads

    async def _write(self) -> None:
        """Write what came in, in order; what could not be written is read again later."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            batch, self._waiting = self._waiting, []
            try:
                followups = await _on(_writers, partial(write_events, self._account, batch))
            except Exception:
                logger.exception("What %s said could not be written.", self._account.pk)
                self._gap.set()
                continue
            self._untold += batch
            self._followups += followups
            self._written.set()

    async def _tell(self) -> None:
        """Tell of what is written, gathered while the last telling went on."""
        while True:
            await self._written.wait()
            self._written.clear()
            batch, self._untold = self._untold, []
            followups, self._followups = self._followups, []
            try:
                await _on(_tellers, partial(tell_events, self._account, batch, followups))
            except Exception:
                logger.exception("What %s said could not be told.", self._account.pk)
                self._gap.set()

    async def _repair(self) -> None:
        """After each (re)connection read what the stream may have missed, until that worked.

        One that could not be read for long is not left so once the stream stands again.
        """
        pause = FIRST_RETRY
        while True:
            await self._gap.wait()
            self._gap.clear()
            if self._stood_up.is_set():
                self._stood_up.clear()
                pause = FIRST_RETRY
            try:
                done = await _on(_readers, partial(_look, self._account.pk))
            except Exception:
                logger.exception("The gap of %s could not be repaired.", self._account.pk)
                done = False
            pause = FIRST_RETRY if done else min(pause * 2, LONGEST_RETRY)
            if not done:
                self._gap.set()
            await asyncio.sleep(FIRST_RETRY)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause - FIRST_RETRY):
                    await self._stood_up.wait()

    async def _note(self) -> None:
        """Note that the stream stands, though its account may be quiet; tell when it does not.

        What was not believed is told at once.
        """
        while True:
            self._alarm.clear()
            try:
                if self._connected:
                    at = self._clock.now()
                    await _on(_writers, partial(stream_heard, account_id=self._account.pk, at=at))
                await self._tell_trouble()
                await self._tell_disbelieved()
            except Error as error:
                logger.warning("The database is away: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARD_SECONDS):
                    await self._alarm.wait()

    async def _tell_disbelieved(self) -> None:
        news = self._disbelief.news()
        if news:
            await _on(_writers, partial(stream_disbelieve, account=self._account, disbelieved=news))
            self._disbelief.told(news)

    async def _tell_trouble(self) -> None:
        """Publish once when the stream has been away for long, with the reason, and its return."""
        away = 0.0 if self._lost_at is None else self._clock.monotonic() - self._lost_at
        is_trouble = away >= self._terms.trouble_seconds
        if is_trouble != self._is_told and (is_trouble or self._connected):
            reason = self._reason if is_trouble else ""
            await _on(_writers, partial(stream_tell, account=self._account, trouble=reason))
            self._is_told = is_trouble


def write_events(
    account: ExchangeAccount, batch: Sequence[Received]
) -> list[observations.Followup]:
    """Write the trades and positions a private stream told of, each with its time of receipt.

    Trades go first: nothing may hold them back. Until the positions follow, whatever reads both
    finds a trade that the position does not contain yet, and counts it as on its way. Returns
    what the trades lead to and the positions need not wait for; raises when they could not be
    recorded, with the positions written all the same.
    """
    fills = [event.fill for event, _ in batch if isinstance(event, OrderUpdate) and event.fill]
    fills += [event for event, _ in batch if isinstance(event, FillReport)]
    followups = []
    try:
        if fills:
            followups = observations.record(observations.FillsSeen(account.pk, fills))
    finally:
        for event, at in batch:
            if isinstance(event, AccountUpdate):
                stream_observe(account=account, update=event, at=at)
    return followups


def tell_events(
    account: ExchangeAccount,
    batch: Sequence[Received],
    followups: Sequence[observations.Followup] = (),
) -> None:
    """Tell of a move and of orders, once trades and positions are written.

    Whoever reacts to a move looks at a whole book: that waits for both, and neither for it. News
    of trades comes after the look.
    """
    if any(isinstance(event, AccountUpdate) for event, _ in batch):
        observations.publish(observations.AccountMoved(account.pk))
        bus.send("console", "console.changed", topic="accounts")
    for followup in followups:
        followup()
    orders = [(event.order, at) for event, at in batch if isinstance(event, OrderUpdate)]
    if orders:
        reports = [report for report, _ in orders]
        observations.publish(
            observations.OrdersSeen(account.pk, reports, all_open=False, at=orders[-1][1])
        )


def _look(account_id: str) -> bool:
    """Sync the account thoroughly; return whether every query was answered."""
    account = ExchangeAccount.objects.for_sync().filter(pk=account_id).first()
    if account is None:
        return True
    job = account_sync(account=account, actor=ACTOR, thorough=True)
    return job is not None and job.status == SyncStatus.SUCCESS


async def _on(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run `work` on a thread of `pool`, with a database connection that is known to live."""

    def call() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(pool, call)
