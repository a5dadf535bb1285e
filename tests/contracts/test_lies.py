"""C50-C58: a lying venue is not trusted: acts become unknown, reads fail, frames are put away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds.runner import Opening, run_session
from markets.venues.errors import OutcomeUnknown, VenueUnavailable
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient
from markets.venues.types import BookTop, OrderStatus, OrderUpdate, Quarantined, Side, Transfer
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import Kit
from tests.contracts.lying import Liar, Lie, honest, with_fields
from tests.contracts.orders import accepted, order, resting, settled


def now_ms() -> int:
    return time.time_ns() // 1_000_000


TIMES: dict[str, Callable[[], int]] = {
    "an hour ahead": lambda: now_ms() + 3_600_000,
    "the year 5138": lambda: 100_000_000_000_000,
    "seconds": lambda: now_ms() // 1000,
    "microseconds": lambda: now_ms() * 1000,
}
NUMBERS = {"negative": "-0.004", "1e400": "1e400", "NaN": "NaN", "infinite": "Infinity"}
FILLED = {**NUMBERS, "999 times": "9.99"}
REASONS = {"bad-number", "not-positive", "negative", "bad-filled", "bad-time", "future"}
each_time = pytest.mark.parametrize("at", TIMES.values(), ids=TIMES)
each_filled = pytest.mark.parametrize("filled", FILLED.values(), ids=FILLED)


@pytest.fixture
async def liar(venue: PaperVenue) -> AsyncIterator[Liar]:
    async with Liar(venue.rest_url).serve() as running:
        yield running


@pytest.fixture
async def deceived(kit: Kit, liar: Liar) -> AsyncIterator[ExecutionClient]:
    """A client that hears the venue through the liar."""
    made = REGISTRY.execution_client(kit.dialect, liar.endpoint, kit.credentials)
    yield made
    await made.close()


async def believes_nothing(client: ExecutionClient, kit: Kit, liar: Liar, lie: Lie) -> None:
    """Send an order whose answer is a lie: it is unknown, or reported as sent and no more."""
    await client.positions()
    command = resting(kit)
    liar.answers, liar.path = lie, kit.order_path
    try:
        report = await client.submit(command)
    except OutcomeUnknown:
        return
    assert (report.status, report.filled) == (OrderStatus.OPEN, 0)
    assert (report.client_order_id, report.venue_symbol) == (command.client_order_id, kit.symbol)
    assert report.at.timestamp() * 1000 < now_ms() + 5_000


@pytest.mark.parametrize("told", [-7, 0, None, "x", float("nan")], ids=repr)
async def test_c50_an_answer_without_a_sound_id_is_unknown_and_the_order_sent_once(
    kit: Kit, venue: PaperVenue, liar: Liar, deceived: ExecutionClient, told: object
) -> None:
    await deceived.positions()
    liar.answers, liar.path = with_fields(**{kit.words.order_id: told}), kit.order_path
    with pytest.raises(OutcomeUnknown):
        await deceived.submit(resting(kit))
    assert len(accepted(venue)) == 1


@pytest.mark.parametrize("lie", ["symbol", "client id", "an hour ahead", *FILLED])
async def test_c51_no_lie_in_an_echo_becomes_a_report(
    kit: Kit, venue: PaperVenue, liar: Liar, deceived: ExecutionClient, lie: str
) -> None:
    words = kit.words
    lies: dict[str, dict[str, Any]] = {
        "symbol": {"symbol": "DOGEUSDT"},
        "client id": {words.client_id: "THEIRS"},
        "an hour ahead": {words.order_at: now_ms() + 3_600_000},
        **{name: {words.filled: value} for name, value in FILLED.items()},
    }
    await believes_nothing(deceived, kit, liar, with_fields(**lies[lie]))
    assert len(accepted(venue)) == 1


@each_filled
async def test_c52_orders_with_false_numbers_are_unavailable_not_guessed(
    kit: Kit, liar: Liar, deceived: ExecutionClient, filled: str
) -> None:
    command = resting(kit)
    await deceived.submit(command)
    liar.answers = with_fields(**{kit.words.filled: filled})
    with pytest.raises(VenueUnavailable):
        await deceived.open_orders()
    with pytest.raises(VenueUnavailable):
        await deceived.order(kit.symbol, command.client_order_id)
    liar.answers = honest
    assert len(await deceived.open_orders()) == 1


@each_time
async def test_c53_what_is_read_with_a_false_time_is_unavailable(
    kit: Kit, venue: PaperVenue, liar: Liar, deceived: ExecutionClient, at: Callable[[], int]
) -> None:
    words = kit.words
    sold = order(kit, side=Side.SELL, amount="0.1")
    report = await deceived.submit(sold)
    await settled(deceived, sold)
    await deceived.submit(resting(kit))
    market = REGISTRY.market_client(kit.dialect, liar.endpoint)
    since = report.at - timedelta(minutes=1)
    liar.answers = with_fields(
        **{name: at() for name in (words.order_at, words.fill_at, words.quote_at)}
    )
    for path, read in (
        (words.orders_path, deceived.open_orders),
        (words.fills_path, lambda: deceived.fills([kit.symbol], since=since)),
        (words.quotes_path, lambda: market.book_tops([kit.symbol])),
    ):
        liar.path = path
        with pytest.raises(VenueUnavailable):
            await read()
    await market.close()


@pytest.mark.parametrize("told", NUMBERS.values(), ids=NUMBERS)
async def test_c54_fills_and_quotes_with_false_numbers_are_unavailable(
    kit: Kit, liar: Liar, deceived: ExecutionClient, told: str
) -> None:
    sold = order(kit, side=Side.SELL, amount="0.1")
    report = await deceived.submit(sold)
    await settled(deceived, sold)
    market = REGISTRY.market_client(kit.dialect, liar.endpoint)
    liar.answers = with_fields(**{kit.words.fill_amount: told, kit.words.bid: told})
    with pytest.raises(VenueUnavailable):
        await deceived.fills([kit.symbol], since=report.at - timedelta(minutes=1))
    with pytest.raises(VenueUnavailable):
        await market.book_tops([kit.symbol])
    await market.close()


def padded(pad: bytes) -> Lie:
    """Return a lie that leaves all there is and adds a field of this value."""

    def lie(said: Any) -> bytes:
        body = json.dumps(said).encode()
        return body.replace(b"{", b'{"pad":' + pad + b",", 1)

    return lie


@pytest.mark.parametrize(
    "pad",
    [b'"' + b"x" * 20_000_000 + b'"', b"[" * 5_000 + b"]" * 5_000],
    ids=["20 MB", "5,000 deep"],
)
async def test_c55_a_body_without_measure_is_no_answer(
    kit: Kit, venue: PaperVenue, liar: Liar, deceived: ExecutionClient, pad: bytes
) -> None:
    await deceived.positions()
    liar.answers = padded(pad)
    with pytest.raises(OutcomeUnknown):
        await deceived.submit(resting(kit))
    assert len(accepted(venue)) == 1
    with pytest.raises(VenueUnavailable):
        await deceived.positions()
    liar.answers = honest
    assert [item.size for item in await deceived.positions()] == [Decimal("0.5")]


class Listening:
    """A stream held by the runner; what it said stands in `events`."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._news = asyncio.Event()

    def take(self, events: Sequence[Any], received: float) -> None:
        self.events += events
        self._news.set()

    async def until(self, enough: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(30):
            while not enough(self.events):
                self._news.clear()
                await self._news.wait()

    async def hold(self, opening: Opening[Any]) -> "asyncio.Task[None]":
        async def open_stream() -> Opening[Any]:
            return opening

        ready = asyncio.Event()
        task = asyncio.create_task(
            run_session(
                open_stream,
                self.take,
                clock=SYSTEM_CLOCK,
                name="contract",
                on_link=lambda connected, _reason: ready.set() if connected else None,
            )
        )
        async with asyncio.timeout(30):
            await ready.wait()
        return task


def quarantined(events: list[Any]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Quarantined)]


@pytest.mark.parametrize(
    "lie", ["foreign symbol", "far number", *TIMES, *NUMBERS], ids=lambda name: name
)
async def test_c56_a_lying_quote_is_quarantined_and_poisons_none_that_follows(
    kit: Kit, venue: PaperVenue, liar: Liar, lie: str
) -> None:
    words, heard = kit.words, Listening()
    session = REGISTRY.market_session(kit.dialect, liar.endpoint, [kit.symbol])
    task = await heard.hold(Opening(session.url(), session, session.opening_frames()))
    prices = iter(range(60_010, 63_000, 10))

    async def quote() -> list[Any]:
        """Move the price until a frame arrives, for a subscription takes a moment."""
        before = len(heard.events)
        for _ in range(100):
            venue.core.jump(kit.symbol, Decimal(next(prices)))
            try:
                async with asyncio.timeout(0.3):
                    await heard.until(lambda events: len(events) > before)
                return heard.events[before:]
            except TimeoutError:
                continue
        raise AssertionError("no frame came")

    lies: dict[str, dict[str, Any]] = {
        "foreign symbol": {"s": "DOGEUSDT"},
        "far number": {words.on_number: 2**62},
        **{name: {words.on_quote_at: at()} for name, at in TIMES.items()},
        **{name: {words.on_bid: value} for name, value in NUMBERS.items()},
    }
    assert isinstance((await quote())[-1], BookTop)
    liar.frames = with_fields(**lies[lie])
    lied = await quote()
    if lie != "far number":  # it stands for itself: only what follows can show it up
        assert set(quarantined(lied)) <= REASONS | {"foreign-symbol"}
        assert not [event for event in lied if isinstance(event, BookTop)]
    liar.frames = honest
    for _ in range(25):
        if isinstance((await quote())[-1], BookTop):
            break
    top = heard.events[-1]
    assert isinstance(top, BookTop)
    assert abs(top.venue_ms - now_ms()) < 30_000
    task.cancel()


@pytest.mark.parametrize("lie", [*TIMES, *FILLED], ids=lambda name: name)
async def test_c57_a_lying_order_update_is_quarantined(
    kit: Kit, venue: PaperVenue, liar: Liar, client: ExecutionClient, lie: str
) -> None:
    words, heard = kit.words, Listening()
    private = REGISTRY.execution_client(kit.dialect, liar.endpoint, kit.credentials)
    address = await private.open_private_stream()
    session = REGISTRY.private_session(kit.dialect)
    lies: dict[str, dict[str, Any]] = {
        **{name: {words.on_order_at: at()} for name, at in TIMES.items()},
        **{name: {words.on_filled: value} for name, value in FILLED.items()},
    }
    task = await heard.hold(Opening(address.url, session, address.frames))

    def updates(events: list[Any]) -> list[OrderUpdate]:
        return [event for event in events if isinstance(event, OrderUpdate)]

    for _ in range(50):  # until the subscription stands
        await client.submit(resting(kit))
        try:
            async with asyncio.timeout(0.3):
                await heard.until(lambda events: bool(updates(events)))
            break
        except TimeoutError:
            continue
    known = len(updates(heard.events))
    assert known
    liar.frames = with_fields(**lies[lie])
    await client.submit(resting(kit))
    await heard.until(lambda events: bool(quarantined(events)))
    assert set(quarantined(heard.events)) <= REASONS
    assert len(updates(heard.events)) == known
    task.cancel()
    await private.close()


LINES: dict[str, tuple[str, Callable[[], object]]] = {
    **{name: ("amount", partial(str, text)) for name, text in NUMBERS.items()},
    **{name: ("at", at) for name, at in TIMES.items()},
}
del LINES["negative"]  # it went out


@pytest.mark.parametrize(("field", "told"), LINES.values(), ids=LINES)
async def test_c58_a_lying_line_of_a_history_is_quarantined_and_hides_no_other(
    kit: Kit,
    venue: PaperVenue,
    liar: Liar,
    deceived: ExecutionClient,
    field: str,
    told: Callable[[], object],
) -> None:
    account, name = venue.engine.accounts["alpha"], getattr(kit.words, f"ledger_{field}")
    for amount in (7, 500):
        venue.engine.transfer(account, Decimal(amount), now_ns=venue.core.now_ns())

    def lie(said: Any) -> Any:
        for row in said["data"] if isinstance(said, dict) else said:
            if row[kit.words.ledger_amount].startswith("7"):
                row[name] = told()
        return said

    liar.answers, liar.path = lie, kit.words.ledger_path
    found = await deceived.transfers(since=datetime.now(UTC) - timedelta(hours=1))
    [bad] = [line for line in found.rows if isinstance(line, Quarantined)]
    [good] = [line for line in found.rows if isinstance(line, Transfer)]
    assert bad.reason in REASONS
    assert good.amount == 500
