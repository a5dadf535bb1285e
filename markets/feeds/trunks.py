"""Sockets that many feeds share: each joins and leaves a standing one without disturbing the rest.

A trunk is one socket of a venue, run by the one runner. A feed belongs to it by its symbol alone,
is asked for and proven by itself, and asked for anew by itself when only it is silent. What befalls
the socket befalls all of them: it is opened again, and asked for everybody.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.kernel.clock import Clock
from markets.feeds.runner import LinkWatcher, Opening, Session, run_session
from markets.feeds.vigil import ChannelVigil
from markets.venues.ports import MarketSession
from markets.venues.registry import VenueRegistry, dialect_facts
from markets.venues.sockets import Channels, SocketLimits
from markets.venues.types import Endpoint, MarketEvent

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""How often the feeds of a trunk are looked at for one that is silent."""

Take = Callable[[Sequence[MarketEvent], float], None]
Read = Callable[[MarketSession], Session[MarketEvent]]
"""Gives who reads a session's frames."""


@dataclass(frozen=True, slots=True)
class TrunkKind:
    """What feeds must have in common to share sockets.

    `silence` is how long one may say nothing, in seconds: those with different patience are kept
    apart, so that the quickest of them does not end the socket of all.
    """

    dialect: str
    endpoint: Endpoint
    silence: float
    is_marks: bool = False

    @property
    def limits(self) -> SocketLimits:
        return dialect_facts(self.dialect).sockets

    @property
    def room(self) -> int:
        """How many feeds fit on one socket."""
        return self.limits.marks if self.is_marks else self.limits.quotes


class _Member:
    """One feed on a trunk; `over` gets what ends it."""

    __slots__ = ("on_link", "over", "symbol", "take", "vigil")

    def __init__(self, symbol: str, take: Take, on_link: LinkWatcher, silence: float) -> None:
        self.symbol = symbol
        self.take = take
        self.on_link = on_link
        self.vigil = ChannelVigil(0.0, silence)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Trunk:
    """One socket and the feeds on it. Made with its first feed, closed after its last."""

    def __init__(self, kind: TrunkKind, registry: VenueRegistry, clock: Clock, read: Read) -> None:
        self._kind = kind
        self._registry = registry
        self._clock = clock
        self._read = read
        self._members: dict[str, _Member] = {}
        self._again: set[str] = set()
        self._gone: set[str] = set()
        self._session: MarketSession | None = None
        self._gate = Channels()
        self._news = asyncio.Event()
        self._strays = 0
        self._tasks: list[asyncio.Task[None]] = []

    def takes(self, symbol: str) -> bool:
        """Tell whether a feed of this symbol may join."""
        is_over = any(task.done() for task in self._tasks)
        return not is_over and symbol not in self._members and len(self._members) < self._kind.room

    def join(self, symbol: str, take: Take, on_link: LinkWatcher) -> _Member:
        """Add a feed; the socket is opened for the first one."""
        member = _Member(symbol, take, on_link, self._kind.silence)
        self._members[symbol] = member
        self._news.set()
        if not self._tasks:
            running = asyncio.create_task(self._run(), name=f"trunk {self._name}")
            running.add_done_callback(self._ended)
            self._tasks = [running, asyncio.create_task(self._watch(), name=f"watch {self._name}")]
        return member

    def leave(self, member: _Member) -> bool:
        """Take a feed away; tell whether it was the last."""
        if self._members.get(member.symbol) is member:
            del self._members[member.symbol]
            self._again.discard(member.symbol)
            if member.vigil.asked is not None:
                self._gone.add(member.symbol)
                self._news.set()
        return not self._members

    async def close(self) -> None:
        """End the socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The socket

    @property
    def _name(self) -> str:
        kind = self._kind
        return f"{kind.endpoint.websocket} {'marks' if kind.is_marks else 'quotes'}"

    async def _run(self) -> None:
        await run_session(
            self._open,
            self._take,
            clock=self._clock,
            name=self._name,
            on_link=self._link,
            silence_seconds=self._kind.silence,
        )

    async def _open(self) -> Opening[MarketEvent]:
        kind = self._kind
        make = self._registry.mark_session if kind.is_marks else self._registry.market_session
        self._session = session = make(kind.dialect, kind.endpoint, tuple(self._members))
        session.channels.on_spoke = self._spoke
        self._gate = Channels(session.channels.missing, seconds=session.channels.seconds)
        self._again, self._gone = set(), set()
        self._news.set()
        opening = iter((session.opening_frames(),))
        asked = frozenset(self._members)

        async def more() -> Sequence[str]:
            await self._news.wait()
            self._news.clear()
            if (frames := next(opening, None)) is None:
                return self._wishes(session)
            self._asked(session, asked)
            return [*frames, *self._wishes(session)]

        return Opening(
            session.url(),
            self._read(session),
            heartbeat=session.heartbeat(),
            channels=self._gate,
            limits=kind.limits,
            more=more,
        )

    def _wishes(self, session: MarketSession) -> Sequence[str]:
        """Return what to say for those that came, left or must be asked for anew.

        Channels that were asked for in vain are so one by one: a venue may refuse a whole request
        for one bad name in it.
        """
        again = {symbol for symbol in self._again if self._members[symbol].vigil.is_proven}
        again |= set(sorted(self._again - again)[:1])
        self._again -= again
        if self._again:
            self._news.set()
        gone, self._gone = self._gone, set()
        new = {symbol for symbol, member in self._members.items() if member.vigil.asked is None}
        frames: list[str] = []
        if again or gone:
            frames += session.unsubscribe(again | gone)
        if again or new:
            frames += session.subscribe(again | new)
            self._asked(session, again | new)
        return frames

    def _asked(self, session: MarketSession, symbols: "frozenset[str] | set[str]") -> None:
        now = self._clock.monotonic()
        for symbol in symbols:
            if (member := self._members.get(symbol)) is None:
                self._gone.add(symbol)  # it left while the socket was being opened
                self._news.set()
                continue
            member.vigil.seconds = session.channels.seconds
            member.vigil.ask(now)
            if session.channel(symbol) not in session.channels.missing:
                self._prove(member)

    # What comes

    def _take(self, events: Sequence[MarketEvent], received: float) -> None:
        """Hand each event to its feed; one that breaks on it is the only one to suffer."""
        if len(events) != 1:
            for event in events:
                self._take((event,), received)
            return
        member = self._members.get(events[0].venue_symbol)
        if member is not None:
            member.vigil.heard = received
        elif (member := self._next()) is None:
            return
        try:
            member.take(events, received)
        except Exception as error:
            self.leave(member)
            _end(member, error)

    def _next(self) -> _Member | None:
        """Return the feed to count an event that names none: each in turn, so none is lost."""
        if not self._members:
            return None
        self._strays += 1
        return list(self._members.values())[self._strays % len(self._members)]

    def _spoke(self, channel: str) -> None:
        self._gate.missing.clear()
        session = self._session
        assert session is not None
        for member in self._members.values():
            if session.channel(member.symbol) == channel:
                self._prove(member)

    def _prove(self, member: _Member) -> None:
        member.vigil.is_proven = True
        member.on_link(True, "")

    def _link(self, connected: bool, reason: str) -> None:
        """Tell all feeds that their socket is gone; that it stands, each channel tells."""
        if connected:
            return
        for member in self._members.values():
            member.vigil.forget()
            member.on_link(False, reason)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look(self._clock.monotonic())

    def _look(self, now: float) -> None:
        """Ask anew for feeds that are silent while others speak; the runner sees to the socket."""
        if self._gate.missing:
            return
        newest = max((member.vigil.heard for member in self._members.values()), default=0.0)
        is_silent = now >= newest + self._kind.silence
        for member in self._members.values():
            if is_silent and member.vigil.is_proven:
                continue
            reason = member.vigil.verdict(now)
            if reason is not None and member.symbol not in self._again:
                member.on_link(False, reason)
                self._again.add(member.symbol)
                self._news.set()

    def _ended(self, running: "asyncio.Task[None]") -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            for member in self._members.values():
                _end(member, error)


def _end(member: _Member, error: BaseException) -> None:
    if not member.over.done():
        member.over.set_exception(error)


def _itself(session: MarketSession) -> Session[MarketEvent]:
    return session


class Trunks:
    """The shared sockets of one process. `read` may put a reader before every session."""

    def __init__(self, registry: VenueRegistry, clock: Clock, *, read: Read = _itself) -> None:
        self._registry = registry
        self._clock = clock
        self._read = read
        self._trunks: dict[TrunkKind, list[Trunk]] = {}

    @property
    def count(self) -> int:
        """How many sockets are held or being opened."""
        return sum(map(len, self._trunks.values()))

    async def serve(self, kind: TrunkKind, symbol: str, take: Take, on_link: LinkWatcher) -> None:
        """Hold one feed's channel until cancelled.

        `take` gets what is said of the symbol, and its share of what cannot be told to be of any.
        Raises what no new connection mends, and whatever `take` raises.
        """
        trunks = self._trunks.setdefault(kind, [])
        trunk = next((trunk for trunk in trunks if trunk.takes(symbol)), None)
        if trunk is None:
            trunk = Trunk(kind, self._registry, self._clock, self._read)
            trunks.append(trunk)
        member = trunk.join(symbol, take, on_link)
        try:
            await member.over
        finally:
            if trunk.leave(member) and trunk in trunks:
                trunks.remove(trunk)
                await trunk.close()
