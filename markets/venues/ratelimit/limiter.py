"""The one limiter of a process: every client's requests pass it before they are signed.

It is used from several event loops and threads, so its state is behind a lock that is held for
some microseconds; nothing is awaited under it.
"""

import asyncio
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from markets.venues.errors import RateLimited
from markets.venues.ratelimit.board import Board
from markets.venues.ratelimit.circuit import LUCK, Circuit
from markets.venues.ratelimit.lane import Lane
from markets.venues.ratelimit.saying import is_recovery, is_urgent, last_look
from markets.venues.ratelimit.terms import (
    PATIENCE_NS,
    SECOND_NS,
    Cost,
    Kind,
    Limit,
    Scope,
    Terms,
    Told,
    Use,
)

logger = logging.getLogger(__name__)

NEWS_NS: Final = SECOND_NS
"""How old what the board told may be before an ordinary request looks again."""
BOARD_SECONDS: Final = 2.0
Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Limiter:
    """Lanes and circuits by key. `clock` is monotonic, in nanoseconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        luck: Callable[[int], int] = random.randrange,
    ) -> None:
        self.clock = clock
        self._luck = luck
        self._processes = 1
        self._board: Board | None = None
        self._news_ns: int | None = None
        self._asking = False
        self._lanes: dict[str, Lane] = {}
        self._circuits: dict[str, Circuit] = {}
        self._learned: dict[str, Sequence[Limit]] = {}
        self._waiting: deque[Waiter] = deque()
        self._lock = threading.Lock()

    def share(self, board: Board | None, *, processes: int) -> None:
        """Tell and hear of bans on `board`; `processes` at most send to a venue at a time."""
        with self._lock:
            self._board, self._processes, self._news_ns = board, processes, None

    def gate(self, host: str, *, exit_name: str, account: str | None, terms: Terms) -> "Gate":
        """Return one client's way through: its host, its exit and, where it has one, its account.

        Names tell exits and accounts apart and hold no secret.
        """
        way = f"{host} {exit_name}"
        with self._lock:
            lanes = [self._lane(way, Scope.EXIT, terms)]
            if account is not None:
                lanes.append(self._lane(f"{host} {account}", Scope.ACCOUNT, terms))
                lanes.append(self._lane(f"{host} {account} orders", Scope.ORDERS, terms))
            circuit = self._circuits.setdefault(host, Circuit(processes=self._processes))
        return Gate(self, host, lanes, circuit)

    def learn(self, host: str, limits: Sequence[Limit]) -> None:
        """Take the limits that a venue itself lists."""
        with self._lock:
            self._learned[host] = limits
            for key, lane in self._lanes.items():
                if key.startswith(f"{host} "):
                    lane.learn(limits)

    def hear(self, bans: Mapping[str, int]) -> None:
        """Take in all that the board tells: seconds left, by key."""
        now_ns = self.clock()
        with self._lock:
            self._news_ns = now_ns
            for key, seconds in bans.items():
                self._lane(key, Scope.EXIT, None).banned(seconds, now_ns)

    def hear_of(self, key: str, seconds: int) -> None:
        """Take in one ban that another process told a moment ago."""
        with self._lock:
            self._lane(key, Scope.EXIT, None).banned(seconds, self.clock())

    def doubt_news(self) -> None:
        """Something told may have been missed: have the next request ask the board."""
        with self._lock:
            self._news_ns = None

    def uses(self) -> list[Use]:
        """Return how full every limit is, as far as this process knows."""
        now_ns = self.clock()
        with self._lock:
            return [use for lane in self._lanes.values() for use in lane.uses(now_ns)]

    def forked(self) -> None:
        """Start anew with lock and waiters in a forked child; what was sent stays counted."""
        self._lock = threading.Lock()
        self._waiting = deque()
        self._asking = False

    # For gates

    def attempt(self, way: "Gate", cost: Cost) -> "Permit | int":
        """Return leave to send, or the nanoseconds to wait."""
        now_ns = self.clock()
        lanes = way.lanes if cost.orders else way.lanes[:2]
        with self._lock:
            wait = max([lane.wait_ns(cost, now_ns) for lane in lanes])
            is_ordinary = cost.kind is not Kind.URGENT
            if is_ordinary:
                wait = max(wait, way.circuit.wait_ns(now_ns))
            if wait:
                return wait
            trying = [lane for lane in lanes if lane.take(cost, now_ns)]
            if is_ordinary and way.circuit.is_open:
                way.circuit.take(now_ns, self._luck(LUCK))
            return Permit(self, way, lanes, trying, cost, now_ns)

    def answered(
        self, permit: "Permit", status: int, told: Sequence[Told], *, is_free: bool
    ) -> None:
        now_ns = self.clock()
        with self._lock:
            for lane in permit.lanes:
                lane.answered(permit.cost, told, sent_ns=permit.sent_ns, now_ns=now_ns)
            for lane in permit.trying:
                lane.ban.tried(is_free=is_free)
            permit.gate.circuit.heard(
                is_failure=500 <= status < 600, now_ns=now_ns, luck=self._luck(LUCK)
            )
            self._wake()

    def lost(self, permit: "Permit") -> None:
        now_ns = self.clock()
        with self._lock:
            for lane in permit.lanes:
                lane.lost(permit.cost, now_ns)
            for lane in permit.trying:
                lane.ban.tried(is_free=False)
            self._wake()

    def unsent(self, permit: "Permit") -> None:
        with self._lock:
            for lane in permit.lanes:
                lane.unsent(permit.cost, taken_ns=permit.sent_ns)
            for lane in permit.trying:
                lane.ban.tried(is_free=False)
            self._wake()

    def ban(self, lane: Lane, seconds: int) -> bool:
        """Close a lane; tell whether that is news."""
        with self._lock:
            return lane.banned(seconds, self.clock())

    def banned_ns(self, permit: "Permit") -> int:
        """Return for how long a ban that came since closes the way of a permit; 0 is none."""
        now_ns = self.clock()
        with self._lock:
            ends = [lane.ban.until_ns(now_ns) for lane in permit.lanes]
        return max((end - now_ns for end in ends if end is not None), default=0)

    def queue(self) -> Waiter:
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        with self._lock:
            self._waiting.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out; one that was woken in vain wakes the next."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def wake(self) -> None:
        with self._lock:
            self._wake()

    async def post(self, lane: Lane, seconds: int, reason: str) -> None:
        """Tell the other processes; when that fails they will hear it from the venue."""
        if self._board is None:
            return
        try:
            async with asyncio.timeout(BOARD_SECONDS):
                await asyncio.to_thread(self._board.post, lane.key, seconds, reason)
        except Exception as error:
            logger.warning("A ban of %s was not told on: %s", lane.key, type(error).__name__)

    async def read_news(self) -> None:
        """Hear what the board tells, when that was last heard too long ago. One at a time asks."""
        now_ns = self.clock()
        with self._lock:
            is_new = self._news_ns is not None and now_ns - self._news_ns < NEWS_NS
            if self._board is None or is_new or self._asking:
                return
            self._asking = True
        try:
            async with asyncio.timeout(BOARD_SECONDS):
                self.hear(await asyncio.to_thread(self._board.read))
        except Exception as error:
            self._news_ns = now_ns
            logger.warning("Bans are not to be heard of: %s", type(error).__name__)
        finally:
            self._asking = False

    # Under the lock

    def _lane(self, key: str, scope: Scope, terms: Terms | None) -> Lane:
        """Return a lane; one that was only heard of gets its windows when it is first used."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        if terms is not None and not lane.windows:
            lane.open(scope, terms.limits, processes=self._processes, is_told=terms.is_told)
            lane.learn(self._learned.get(key.partition(" ")[0], ()))
        return lane

    def _wake(self) -> None:
        while self._waiting:
            loop, future = self._waiting.popleft()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_set, future)
                return


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """One client's way through the limiter; `lanes` are its exit's, account's and orders'."""

    limiter: Limiter
    host: str
    lanes: Sequence[Lane]
    circuit: Circuit

    def learn(self, limits: Sequence[Limit]) -> None:
        """Take the limits that the venue itself lists."""
        self.limiter.learn(self.host, limits)

    async def enter(self, cost: Cost) -> "Permit":
        """Wait until a request may leave.

        Raises RateLimited, nothing sent, when that would take longer than such a request waits,
        and Withheld when an order's last look keeps it.
        """
        if is_urgent.get():
            cost = replace(cost, kind=Kind.URGENT)
        elif cost.kind is Kind.READ and is_recovery.get():
            cost = replace(cost, kind=Kind.RECOVERY)
        permit = await self._admitted(cost)
        look = last_look.get()
        if look is not None and cost.kind is Kind.ORDER:
            try:
                await look()
                if wait_ns := self.limiter.banned_ns(permit):  # told of while it looked
                    raise self._held(wait_ns)
            except BaseException:
                permit.lost()
                raise
        return permit

    async def _admitted(self, cost: Cost) -> "Permit":
        limiter = self.limiter
        if cost.kind is not Kind.URGENT:
            await limiter.read_news()
        got = limiter.attempt(self, cost)
        if isinstance(got, Permit):
            return got
        deadline = limiter.clock() + PATIENCE_NS[cost.kind]
        try:
            while not isinstance(got, Permit):
                if limiter.clock() + got > deadline:
                    raise self._held(got)
                await _pause(limiter, got)
                got = limiter.attempt(self, cost)
        finally:
            limiter.wake()  # there may be room for the next one too
        return got

    def _held(self, wait_ns: int) -> RateLimited:
        seconds = -(-wait_ns // SECOND_NS)
        return RateLimited(
            f"Our own limiter keeps it back for {seconds} s: "
            f"{self.lanes[0].key} is full, banned or failing.",
            retry_after=seconds,
        )


@dataclass(slots=True, eq=False)
class Permit:
    """Leave to send one request. Whoever has it says how it ended; what is said later is void."""

    limiter: Limiter
    gate: Gate
    lanes: Sequence[Lane]
    trying: Sequence[Lane]
    cost: Cost
    sent_ns: int
    has_ended: bool = False

    def lost(self) -> None:
        """No answer came: the request may have been counted or not."""
        if not self.has_ended:
            self.has_ended = True
            self.limiter.lost(self)

    def unsent(self) -> None:
        """The request provably never left, as when nobody listens: it costs nothing."""
        if not self.has_ended:
            self.has_ended = True
            self.limiter.unsent(self)

    async def answered(
        self, status: int, told: Sequence[Told], refusal: RateLimited | None = None
    ) -> None:
        """An answer came, with what it tells; a refusal is told to every process before this
        returns.
        """
        self.has_ended = True
        if refusal is None or refusal.scope is None:
            self.limiter.answered(self, status, told, is_free=True)
            return
        lane = next((one for one in self.lanes if one.scope is refusal.scope), self.lanes[0])
        seconds = max(1, int(refusal.retry_after))
        is_news = self.limiter.ban(lane, seconds)
        self.limiter.answered(self, status, told, is_free=False)
        if is_news:
            await self.limiter.post(lane, seconds, refusal.message)


async def _pause(limiter: Limiter, wait_ns: int) -> None:
    waiter = limiter.queue()
    try:
        async with asyncio.timeout(wait_ns / SECOND_NS):
            await waiter[1]
    except TimeoutError:
        pass
    finally:
        limiter.leave(waiter)


_LIMITER: Final = Limiter()


def limiter() -> Limiter:
    """Return this process's limiter."""
    return _LIMITER


os.register_at_fork(after_in_child=_LIMITER.forked)
