"""Connections of every dialect against its paper venue: proven, kept, replaced, spread out."""

import asyncio
import logging
import resource
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds import connects, runner
from markets.feeds.runner import Opening, run_session
from markets.venues.fapi.streams import FapiMarketSession
from markets.venues.paper.faults import Channel, Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.registry import dialect_facts
from markets.venues.sockets import CONFIRMED, Channels, SocketLimits
from markets.venues.types import BookTop, Quarantined
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import KITS, Kit
from tests.markets.feeds.running import until

CHANNELS = {
    ("binance", "quotes"): {"btcusdt@bookTicker"},
    ("binance", "marks"): {"btcusdt@markPrice@1s"},
    ("binance", "private"): {CONFIRMED},
    ("aster", "quotes"): {"btcusdt@bookTicker"},
    ("aster", "marks"): {"btcusdt@markPrice@1s"},
    ("aster", "private"): {CONFIRMED},
    ("pacifica", "quotes"): {"bbo BTC"},
    ("pacifica", "marks"): {"prices"},
    ("pacifica", "private"): {
        "account_positions",
        "account_order_updates",
        "account_trades",
        "account_info",
    },
}
Opener = Callable[[], Awaitable[Opening[Any]]]


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()


@pytest.fixture
async def venue(kit: Kit) -> AsyncIterator[PaperVenue]:
    async with PaperVenue.start(kit.config(start_paused=False)) as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runner, "FIRST_DELAY", 0.05)
    connects._budgets.clear()
    yield
    connects._budgets.clear()


@dataclass
class Held:
    """What a stream under test has said of itself, and the channels of each connection."""

    links: list[tuple[bool, str]] = field(default_factory=list)
    openings: list[Opening[Any]] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    @property
    def ups(self) -> int:
        return sum(connected for connected, _reason in self.links)

    @property
    def reasons(self) -> list[str]:
        return [reason for connected, reason in self.links if not connected]


@asynccontextmanager
async def holding(opened: Opener, **options: Any) -> AsyncIterator[Held]:
    held = Held()

    async def note() -> Opening[Any]:
        held.openings.append(await opened())
        return held.openings[-1]

    def take(events: Sequence[Any], _received: float) -> None:
        held.events += events

    work = run_session(
        note,
        take,
        clock=SYSTEM_CLOCK,
        name="test",
        on_link=lambda connected, reason: held.links.append((connected, reason)),
        **options,
    )
    task = asyncio.create_task(work)
    try:
        yield held
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def stream(
    kit: Kit,
    venue: PaperVenue,
    what: str,
    limits: SocketLimits | None = None,
    *,
    patience: float = 5.0,
    unconfirmed: Callable[[], Awaitable[None]] | None = None,
    **options: Any,
) -> AsyncIterator[Held]:
    """Hold the quotes, marks or private stream of a kit."""
    allowed = limits or dialect_facts(kit.dialect).sockets
    client = REGISTRY.execution_client(kit.dialect, venue.endpoint, kit.credentials)

    async def private() -> Opening[Any]:
        address = await client.open_private_stream()
        session = REGISTRY.private_session(kit.dialect)
        session.channels.seconds = patience

        async def confirm() -> None:
            if unconfirmed is not None:
                await unconfirmed()
            await client.confirm_private_stream(address)

        return Opening(
            address.url,
            session,
            address.frames,
            address.heartbeat,
            session.channels,
            allowed,
            is_private=True,
            confirm=confirm,
        )

    async def public() -> Opening[Any]:
        make = REGISTRY.market_session if what == "quotes" else REGISTRY.mark_session
        made = make(kit.dialect, venue.endpoint, [kit.symbol])
        return Opening(
            made.url(), made, made.opening_frames(), made.heartbeat(), made.channels, allowed
        )

    try:
        async with holding(private if what == "private" else public, **options) as held:
            yield held
    finally:
        await client.close()


def sockets(venue: PaperVenue) -> list[Any]:
    return list(venue.core.hub.clients.values())


def close_with(code: int, venue: PaperVenue) -> None:
    for client in sockets(venue):
        client._transport.write(struct.pack("!BBH", 0x88, 2, code))
        client._transport.close()


def reset(venue: PaperVenue) -> None:
    for client in sockets(venue):
        client.cut_off()


def mute(venue: PaperVenue) -> None:
    """Keep the socket open, and its pings answered, without another word."""
    for client in sockets(venue):
        venue.core.hub.unsubscribe(client, list(client.streams))


BREAKS: dict[str, Callable[[PaperVenue], None]] = {
    **{str(code): partial(close_with, code) for code in (1000, 1001, 1008, 1011)},
    "1006": reset,
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("what", ["quotes", "private"])
async def test_every_channel_speaks_again_after_a_break(
    kit: Kit, venue: PaperVenue, what: str, how: str
) -> None:
    """B03: whatever the venue's reason, the stream stands only when all its channels do."""
    async with stream(kit, venue, what) as held:
        await until(lambda: held.ups == 1)
        before = sockets(venue)
        BREAKS[how](venue)
        await until(lambda: held.ups == 2)
        assert [len(held.openings), len(held.reasons)] == [2, 1]
        [now] = [client for client in sockets(venue) if client not in before]
        assert now.streams
        for opening in held.openings:
            assert opening.channels.missing == set()
        if what == "quotes":
            heard = len(held.events)
            await until(lambda: len(held.events) > heard)


@pytest.mark.parametrize("what", ["quotes", "marks", "private"])
async def test_session_names_the_channels_it_asks_for(
    kit: Kit, venue: PaperVenue, what: str
) -> None:
    if what == "private":
        channels = REGISTRY.private_session(kit.dialect).channels
    else:
        make = REGISTRY.market_session if what == "quotes" else REGISTRY.mark_session
        channels = make(kit.dialect, venue.endpoint, [kit.symbol]).channels
    assert channels.missing == CHANNELS[kit.dialect, what]
    async with stream(kit, venue, what) as held:
        await until(lambda: held.links == [(True, "")])
        assert held.openings[0].channels.missing == set()


async def test_silent_open_socket_is_replaced_though_it_answers_pings(
    kit: Kit, venue: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PING_SECONDS", 0.1)
    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.1)
    async with stream(kit, venue, "quotes", silence_seconds=1.0) as held:
        await until(lambda: held.ups == 1)
        mute(venue)
        await until(lambda: held.ups == 2)
        assert held.reasons == ["no data for 1 s"]


async def test_half_open_private_stream_is_noticed_by_its_pings(
    kit: Kit, venue: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PING_SECONDS", 0.3)
    async with stream(kit, venue, "private") as held:
        await until(lambda: held.ups == 1)
        [client] = sockets(venue)
        client._transport.pause_reading()
        await until(lambda: held.ups == 2)
        assert "ConnectionClosedError" in held.reasons[0]


UNREADABLE = {
    "20 MB": (b'{"e":"depthUpdate"}', 1_100_000, "oversized"),
    "5,000 deep": (b"[", 5_000, "malformed"),
    "garbage": (b"\xff\xfe\x00{", 10, "malformed"),
}


@pytest.mark.parametrize("body", UNREADABLE)
@pytest.mark.parametrize("what", ["quotes", "private"])
async def test_unreadable_frame_is_quarantined_with_its_beginning(
    kit: Kit, venue: PaperVenue, what: str, body: str
) -> None:
    """A17 on sockets: never read whole, counted by reason, and the stream goes on."""
    content, repeat, reason = UNREADABLE[body]
    async with stream(kit, venue, what) as held:
        await until(lambda: held.ups == 1)
        channel = Channel.PUBLIC if what == "quotes" else Channel.PRIVATE
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        venue.faults.add(Fault(FaultKind.WS_POISON, channel=channel, body=content, repeat=repeat))
        if what == "private":
            venue.core.move_position("alpha", kit.symbol, Decimal("0.1"), source="web")
        await until(lambda: any(isinstance(event, Quarantined) for event in held.events))
        [kept] = [event for event in held.events if isinstance(event, Quarantined)]
        assert kept.reason == reason
        if reason == "oversized":
            assert "depthUpdate" in kept.detail
            assert len(kept.detail) < 200
        else:
            assert len(held.openings) == 1
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kb < 100_000  # the venue's own 20 MB and its copies on their way included
        await until(lambda: what == "private" or isinstance(held.events[-1], BookTop))


async def test_frames_that_are_none_are_quarantined(kit: Kit, venue: PaperVenue) -> None:
    async with stream(kit, venue, "quotes") as held:
        await until(lambda: held.ups == 1)
        for client in sockets(venue):
            client._transport.write(b"\xf3\x05junk!")
        await until(lambda: held.ups == 2)
        [kept] = [event for event in held.events if isinstance(event, Quarantined)]
        assert kept.reason == "garbage"
        assert "junk!" in kept.detail


async def test_channel_that_was_refused_without_a_word_is_named_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit = KITS["pacifica"]()
    async with PaperVenue.start(kit.config()) as venue:
        dialect: Any = venue.dialect
        known = dialect._stream
        monkeypatch.setattr(
            dialect,
            "_stream",
            lambda params: None if params.get("source") == "account_trades" else known(params),
        )
        async with stream(kit, venue, "private", patience=0.5) as held:
            await until(lambda: len(held.reasons) == 1)
            assert held.reasons == ["not a word from account_trades within 0.5 s"]
            assert held.ups == 0
            monkeypatch.setattr(dialect, "_stream", known)
            await until(lambda: held.ups == 1)


async def test_marks_asked_for_on_the_wrong_path_are_acknowledged_and_not_believed() -> None:
    kit = KITS["binance"]()
    async with PaperVenue.start(kit.config(start_paused=False)) as venue:

        async def wrong() -> Opening[Any]:
            made = FapiMarketSession(f"{venue.ws_url}/public", [kit.symbol], marks=True)
            made.channels.seconds = 1.5
            return Opening(made.url(), made, made.opening_frames(), channels=made.channels)

        async with holding(wrong) as held:
            await until(lambda: len(held.reasons) == 1)
            assert held.links == [(False, "not a word from btcusdt@markPrice@1s within 1.5 s")]


async def test_quotes_the_venue_does_not_list_are_not_believed_to_come() -> None:
    """B03: an acknowledged stream on the wrong path, in a market that may well be calm."""
    kit = KITS["binance"]()
    async with PaperVenue.start(kit.config()) as venue:

        async def wrong() -> Opening[Any]:
            made = FapiMarketSession(f"{venue.ws_url}/market", [kit.symbol])
            made.channels.seconds = 0.5
            return Opening(made.url(), made, made.opening_frames(), channels=made.channels)

        async with holding(wrong) as held:
            await until(lambda: len(held.reasons) == 1)
            assert held.links == [(False, "not a word from btcusdt@bookTicker within 0.5 s")]


@pytest.mark.parametrize("dialect", ["binance", "aster"])
async def test_quotes_of_a_calm_market_are_proven_by_the_venues_list(dialect: str) -> None:
    kit = KITS[dialect]()
    async with PaperVenue.start(kit.config()) as venue, stream(kit, venue, "quotes") as held:
        await until(lambda: held.links == [(True, "")])
        assert held.events == []


@pytest.mark.parametrize("dialect", ["binance", "aster"])
async def test_user_stream_whose_key_was_replaced_is_opened_anew(dialect: str) -> None:
    """hummingbot 5713: orders keep working while fills go unseen."""
    kit = KITS[dialect]()
    async with PaperVenue.start(kit.config()) as venue:
        keys: dict[str, Any] = getattr(venue.dialect, "_listen_keys")  # noqa: B009
        used: list[Any] = []

        async def delete_the_first() -> None:
            used.append(keys["alpha"][0])
            if len(used) == 1:
                del keys["alpha"]  # by somebody else, and the venue says nothing

        async with stream(kit, venue, "private", unconfirmed=delete_the_first) as held:
            await until(lambda: held.ups == 1)
            assert held.reasons == ["The listen key was replaced by another one."]
            assert used[0] != used[1]


@pytest.mark.parametrize("dialect", ["binance", "aster"])
async def test_user_stream_that_is_not_confirmed_in_time_is_opened_anew(dialect: str) -> None:
    kit = KITS[dialect]()
    async with PaperVenue.start(kit.config()) as venue:
        asked: list[int] = []

        async def too_late_once() -> None:
            asked.append(1)
            if len(asked) == 1:
                await asyncio.Event().wait()

        async with stream(kit, venue, "private", patience=1.5, unconfirmed=too_late_once) as held:
            await until(lambda: held.ups == 1, seconds=10)
            assert held.reasons == ["not a word from the user stream's key within 1.5 s"]


async def test_acknowledgement_alone_proves_nothing_where_bad_streams_get_one_too() -> None:
    session = FapiMarketSession("ws://127.0.0.1:1", ["BTCUSDT"], marks=True)
    assert session.receive('{"result":null,"id":1}') == ()
    assert session.channels.missing == {"btcusdt@markPrice@1s"}


async def test_socket_is_replaced_before_the_venue_cuts_it(
    kit: Kit,
    venue: PaperVenue,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The 24 h of a socket, shortened: the next one stands at once and without a backoff."""
    monkeypatch.setattr(runner, "FIRST_DELAY", 60.0)
    caplog.set_level(logging.INFO, logger="markets.feeds.runner")
    limits = replace(dialect_facts(kit.dialect).sockets, life_seconds=1.5)
    async with stream(kit, venue, "private", limits) as held:
        await until(lambda: held.ups == 2)
        assert held.links[1] == (False, "its time was up")
        assert "its time was up); opening it again in 0.0 s" in caplog.text


async def test_private_connections_go_before_quotes_when_the_budget_is_short(
    kit: Kit, venue: PaperVenue
) -> None:
    """Of 5 connects an hour we use 4, and quotes 3 of those."""
    limits = SocketLimits(connects=5, window_seconds=3600)
    async with stream(kit, venue, "quotes", limits) as first:
        for turn in (1, 2, 3):
            await until(partial(_has_stood, first, turn))
            reset(venue)
        host = venue.ws_url.removeprefix("ws://")
        waiting = f"waiting for the connect budget of {host}"
        await until(lambda: first.reasons[-1:] == [waiting])
        assert first.reasons.count(waiting) == 1
        async with stream(kit, venue, "private", limits) as private:
            await until(lambda: private.ups == 1)
            assert first.ups == 3
        async with stream(kit, venue, "private", limits, proxy_url=None) as late:
            await until(lambda: late.reasons == [waiting])


async def test_storm_of_broken_connections_stays_within_the_venues_limit() -> None:
    """B09: a server that drops everybody at once; 200 streams, and next to no work for us."""
    served = []

    async def drop(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(time.monotonic())
        writer.transport.abort()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    limits = SocketLimits(connects=300, window_seconds=300)

    async def opened() -> Opening[Any]:
        return Opening(address, _Deaf(), channels=Channels(), limits=limits)

    held = [
        asyncio.create_task(run_session(opened, _ignore, clock=SYSTEM_CLOCK, name=f"s{number}"))
        for number in range(200)
    ]
    try:
        await until(lambda: len(served) >= 180, seconds=20)
        await asyncio.sleep(2)
        assert len(served) == 180
        idle = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - idle < 0.5
    finally:
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        server.close()


def _has_stood(held: Held, times: int) -> bool:
    return held.ups == times


class _Deaf:
    def receive(self, frame: str | bytes) -> Sequence[Any]:
        return ()


def _ignore(_events: Sequence[Any], _received: float) -> None:
    """Take nothing."""


async def test_delay_between_attempts_grows_from_a_second_to_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    pauses: list[float] = []

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    async def refused() -> Opening[Any]:
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(runner.asyncio, "sleep", rest)
    with pytest.raises(asyncio.CancelledError):
        await run_session(refused, _ignore, clock=SYSTEM_CLOCK, name="test")
    longest = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert all(top / 2 <= pause <= top for pause, top in zip(pauses, longest, strict=True))
    assert len(set(pauses)) == 9
