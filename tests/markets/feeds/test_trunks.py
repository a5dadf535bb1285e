"""Feeds that share sockets: each comes, goes, fails and is mended without harm to the others."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds import connects, runner, trunks
from markets.feeds.trunks import TrunkKind, Trunks
from markets.venues.paper.config import symbol_config
from markets.venues.paper.server import PaperVenue
from markets.venues.registry import EndpointRefused, VenueRegistry
from markets.venues.types import BookTop, Endpoint, MarketEvent, MarkPrice, Quarantined
from tests.contracts.kits import KITS, Kit
from tests.markets.feeds.running import book_ticker, scripted_venue, until


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return KITS[request.param]()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runner, "FIRST_DELAY", 0.05)
    connects._budgets.clear()
    yield
    connects._budgets.clear()


@asynccontextmanager
async def market(kit: Kit, *bases: str) -> AsyncIterator[PaperVenue]:
    """Run a venue whose prices move, with these markets."""
    symbols = tuple(symbol_config(base, quote=kit.quote, **kit.symbol_options) for base in bases)
    config = kit.config(symbols=symbols, accounts=(), start_paused=False)
    async with PaperVenue.start(config) as venue:
        yield venue


@dataclass
class Feed:
    """One feed on the trunks, and what it was told."""

    symbol: str
    links: list[tuple[bool, str]] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    def take(self, events: Sequence[MarketEvent], _received: float) -> None:
        self.events += events

    def link(self, connected: bool, reason: str, /) -> None:
        self.links.append((connected, reason))

    @property
    def heard(self) -> int:
        return sum(isinstance(event, BookTop | MarkPrice) for event in self.events)

    @property
    def quarantined(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Quarantined)]

    async def leave(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Board:
    """Trunks and the feeds on them."""

    trunks: Trunks
    kind: TrunkKind
    feeds: list[Feed] = field(default_factory=list)

    def join(self, symbol: str, **changes: Any) -> Feed:
        feed = Feed(symbol)
        kind = replace(self.kind, **changes)
        serving = self.trunks.serve(kind, symbol, lambda *said: feed.take(*said), feed.link)
        feed.task = asyncio.create_task(serving)
        self.feeds.append(feed)
        return feed


@asynccontextmanager
async def board(dialect: str, endpoint: Endpoint, *, silence: float = 10.0) -> AsyncIterator[Board]:
    registry = VenueRegistry(allow_loopback=True)
    made = Board(Trunks(registry, SYSTEM_CLOCK), TrunkKind(dialect, endpoint, silence))
    try:
        yield made
    finally:
        for feed in made.feeds:
            await feed.leave()
        assert made.trunks.count == 0


def symbols(kit: Kit, *bases: str) -> list[str]:
    return [kit.symbol.replace("BTC", base) for base in bases]


def streams(venue: PaperVenue) -> list[set[str]]:
    return [client.streams for client in venue.core.hub.clients.values()]


async def test_feeds_of_a_venue_share_a_socket_of_quotes_and_one_of_marks(kit: Kit) -> None:
    async with market(kit, "BTC", "ETH", "SOL") as venue:
        async with board(kit.dialect, venue.endpoint) as held:
            for symbol in symbols(kit, "BTC", "ETH", "SOL"):
                held.join(symbol)
                held.join(symbol, is_marks=True)
            await until(lambda: all(feed.heard for feed in held.feeds))
            assert [held.trunks.count, len(venue.core.hub.clients)] == [2, 2]
            for feed in held.feeds:
                assert {event.venue_symbol for event in feed.events} == {feed.symbol}
                assert feed.links == [(True, "")]
        await until(lambda: not venue.core.hub.clients)


async def test_feed_comes_and_goes_within_a_second_and_nobody_else_notices(kit: Kit) -> None:
    async with (
        market(kit, "BTC", "ETH", "SOL") as venue,
        board(kit.dialect, venue.endpoint) as held,
    ):
        btc, eth = (held.join(symbol) for symbol in symbols(kit, "BTC", "ETH"))
        await until(lambda: btc.heard and eth.heard)
        sol = held.join(*symbols(kit, "SOL"))
        await until(lambda: sol.heard, seconds=1)
        [before] = streams(venue)
        assert len(before) == 3
        await eth.leave()
        await until(lambda: len(streams(venue)[0]) == 2, seconds=1)
        again = held.join(eth.symbol)
        await until(lambda: again.heard, seconds=1)
        assert btc.links == [(True, "")]
        assert not any(feed.quarantined for feed in held.feeds)
        assert len(venue.core.hub.past) == 0


async def test_silent_feed_is_asked_for_anew_while_the_others_go_on(kit: Kit) -> None:
    async with (
        market(kit, "BTC", "ETH") as venue,
        board(kit.dialect, venue.endpoint, silence=1.0) as held,
    ):
        btc, eth = (held.join(symbol) for symbol in symbols(kit, "BTC", "ETH"))
        await until(lambda: btc.heard and eth.heard)
        [client] = venue.core.hub.clients.values()
        [stream] = (name for name in client.streams if "eth" in name.lower())
        venue.core.hub.unsubscribe(client, [stream])
        heard = eth.heard
        await until(lambda: eth.heard > heard + 1, seconds=10)
        assert eth.links == [(True, ""), (False, "no data for 1 s"), (True, "")]
        assert btc.links == [(True, "")]
        assert [client] == list(venue.core.hub.clients.values())


async def test_socket_that_is_silent_altogether_is_opened_again(kit: Kit) -> None:
    async with (
        market(kit, "BTC", "ETH") as venue,
        board(kit.dialect, venue.endpoint, silence=1.0) as held,
    ):
        feeds = [held.join(symbol) for symbol in symbols(kit, "BTC", "ETH")]
        await until(lambda: all(feed.heard for feed in feeds))
        for client in list(venue.core.hub.clients.values()):
            venue.core.hub.unsubscribe(client, list(client.streams))
        await until(lambda: len(venue.core.hub.past) == 1, seconds=10)
        counts = [feed.heard for feed in feeds]
        await until(lambda: all(f.heard > n for f, n in zip(feeds, counts, strict=True)))
        assert [feed.links for feed in feeds] == [
            [(True, ""), (False, "no data for 1 s"), (True, "")]
        ] * 2


async def test_break_of_the_socket_brings_every_feed_back(kit: Kit) -> None:
    async with market(kit, "BTC", "ETH") as venue, board(kit.dialect, venue.endpoint) as held:
        feeds = [held.join(symbol) for symbol in symbols(kit, "BTC", "ETH")]
        await until(lambda: all(feed.heard for feed in feeds))
        [client] = venue.core.hub.clients.values()
        client.cut_off()
        await until(lambda: all(len(feed.links) == 3 for feed in feeds))
        counts = [feed.heard for feed in feeds]
        await until(lambda: all(f.heard > n for f, n in zip(feeds, counts, strict=True)))
        assert [[up for up, _ in feed.links] for feed in feeds] == [[True, False, True]] * 2


async def test_contract_that_the_venue_does_not_know_harms_no_other() -> None:
    kit = KITS["pacifica"]()
    async with market(kit, "BTC") as venue, board("pacifica", venue.endpoint) as held:
        btc, odd = held.join("BTC"), held.join("NOPE")
        await until(lambda: btc.heard and odd.links, seconds=10)
        assert odd.links == [(False, "not a word within 3 s")]
        assert btc.links == [(True, "")]
        assert len(venue.core.hub.clients) == 1


async def test_more_feeds_than_a_socket_carries_take_another_one() -> None:
    kit = KITS["pacifica"]()
    bases = [f"C{number}" for number in range(21)]
    async with market(kit, *bases) as venue, board("pacifica", venue.endpoint) as held:
        for base in bases:
            held.join(base)
        await until(lambda: all(feed.heard for feed in held.feeds), seconds=10)
        assert sorted(map(len, streams(venue))) == [1, 20]


async def test_two_hundred_feeds_are_two_sockets_and_two_connects() -> None:
    kit = KITS["binance"]()
    bases = [f"C{number}" for number in range(200)]
    async with market(kit, *bases) as venue, board("binance", venue.endpoint) as held:
        for symbol in symbols(kit, *bases):
            held.join(symbol)
            held.join(symbol, is_marks=True)
        await until(lambda: all(feed.heard for feed in held.feeds), seconds=20)
        assert [len(held.feeds), venue.core.hub._last_id] == [400, 2]


async def test_other_addresses_or_another_patience_are_never_shared() -> None:
    kit = KITS["binance"]()
    async with (
        market(kit, "BTC", "ETH") as one,
        market(kit, "ETH") as two,
        board("binance", one.endpoint) as held,
    ):
        here, there = held.join("BTCUSDT"), held.join("ETHUSDT", endpoint=two.endpoint)
        slow = held.join("ETHUSDT", silence=30.0)
        await until(lambda: here.heard and there.heard and slow.heard)
        assert sorted(map(sorted, streams(one))) == [
            ["btcusdt@bookTicker"],
            ["ethusdt@bookTicker"],
        ]
        assert streams(two) == [{"ethusdt@bookTicker"}]
        one.core.hub.clients.popitem()[1].cut_off()
        await until(lambda: any(not up for up, _ in (*here.links, *slow.links)))
        assert there.links == [(True, "")]


async def test_bad_frames_are_counted_once_and_cut_nobody() -> None:
    """What names a symbol is laid to it; what names none is counted by one feed in turn."""
    async with scripted_venue() as venue:
        endpoint = Endpoint(venue.addresses["rest_endpoint"], venue.addresses["ws_endpoint"])
        async with board("binance", endpoint) as held:
            btc, eth = held.join("BTCUSDT"), held.join("ETHUSDT")
            await until(lambda: btc.links and eth.links)
            await venue.say(
                book_ticker(1, "-1"),
                book_ticker(2, "NaN"),
                book_ticker(3)[:70],
                *["{"] * 4,
                book_ticker(4),
            )
            await until(lambda: btc.heard)
            assert sorted(btc.quarantined) == [
                "bad-number",
                "malformed",
                "malformed",
                "malformed",
                "not-positive",
            ]
            assert eth.quarantined == ["malformed", "malformed"]
            assert [btc.links, eth.links] == [[(True, "")]] * 2
            assert venue.opened == ["/public/stream"]


async def test_feed_that_breaks_on_an_event_is_the_only_one_to_end() -> None:
    kit = KITS["binance"]()
    async with market(kit, "BTC", "ETH") as venue, board("binance", venue.endpoint) as held:
        btc, eth = held.join("BTCUSDT"), held.join("ETHUSDT")
        await until(lambda: btc.heard and eth.heard)

        def broken(_events: Sequence[MarketEvent], _received: float) -> None:
            raise ZeroDivisionError("a bug of ours")

        btc.take = broken  # type: ignore[assignment,method-assign]
        assert btc.task is not None
        with pytest.raises(ZeroDivisionError):
            await btc.task
        heard = eth.heard
        await until(lambda: eth.heard > heard)
        assert eth.links == [(True, "")]
        await until(lambda: streams(venue) == [{"ethusdt@bookTicker"}])


async def test_endpoint_that_is_refused_ends_every_feed_of_it() -> None:
    async with board("binance", Endpoint("https://x.example", "wss://x.example")) as held:
        feeds = [held.join("BTCUSDT"), held.join("ETHUSDT")]
        for feed in feeds:
            assert feed.task is not None
            with pytest.raises(EndpointRefused):
                await feed.task
            assert "EndpointRefused" in feed.links[-1][1]


async def test_venue_that_refuses_a_whole_request_for_one_bad_name_still_serves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("markets.venues.fapi.streams.SPEAK_SECONDS", 0.3)
    monkeypatch.setattr(runner, "SAY_SECONDS", 0.05)
    monkeypatch.setattr(trunks, "LOOK_SECONDS", 0.05)
    async with scripted_venue(refuses="bad") as venue:
        endpoint = Endpoint(venue.addresses["rest_endpoint"], venue.addresses["ws_endpoint"])
        async with board("binance", endpoint) as held:
            good = held.join("BTCUSDT")
            await until(lambda: good.links == [(True, "")])
            bad, late = held.join("BADUSDT"), held.join("ETHUSDT")
            await until(lambda: (True, "") in late.links)
            assert (True, "") not in bad.links
            assert good.links == [(True, "")]
            assert venue.opened == ["/public/stream"]
