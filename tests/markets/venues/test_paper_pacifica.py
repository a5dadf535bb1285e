"""The paper venue's Pacifica: its door, its silence and its pages."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from controlplane.kernel.clock import SYSTEM_CLOCK
from controlplane.kernel.secrets import Secret
from markets.feeds import runner
from markets.feeds.runner import Opening, run_session
from markets.venues.errors import ClockRefused, RateLimited
from markets.venues.pacifica import client as pacifica_client
from markets.venues.pacifica import facts
from markets.venues.pacifica.client import PacificaExecutionClient
from markets.venues.pacifica.signing import Signer
from markets.venues.pacifica.streams import PacificaMarketSession
from markets.venues.paper.config import ConfigError, PaperConfig, checked
from markets.venues.paper.dialects import pacifica, pacifica_rest
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.types import BookTop, MarketEvent, OrderStatus, OrderUpdate
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import KITS, Kit
from tests.contracts.orders import accepted, order, resting, settled
from tests.markets.venues.test_paper_replay import START_NS, line


@pytest.fixture
def kit() -> Kit:
    return KITS["pacifica"]()


@pytest.fixture
async def venue(kit: Kit) -> AsyncIterator[PaperVenue]:
    async with PaperVenue.start(kit.config(control=True)) as running:
        yield running


@pytest.fixture
async def client(kit: Kit, venue: PaperVenue) -> AsyncIterator[PacificaExecutionClient]:
    made = PacificaExecutionClient(venue.endpoint, kit.credentials)
    yield made
    await made.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(
    http: aiohttp.ClientSession,
    venue: PaperVenue,
    kit: Kit,
    *,
    key: Secret | None = None,
    late_ms: int = 0,
    **changes: Any,
) -> tuple[int, Any, Any]:
    signer = Signer(key or kit.credentials.agent_key)
    at = time.time_ns() // 1_000_000 - late_ms
    payload = {"symbol": "BTC", "leverage": 7}
    body = {
        "account": kit.known_as[0],
        "agent_wallet": signer.address,
        "signature": signer.sign("update_leverage", payload, at_ms=at, window_ms=1000),
        "timestamp": at,
        "expiry_window": 1000,
        **payload,
        **changes,
    }
    async with http.post(f"{venue.rest_url}/api/v1/account/leverage", json=body) as answer:
        said = await answer.json()
        return answer.status, said["code"], said.get("error_id")


async def test_the_door_says_what_is_wrong(
    http: aiohttp.ClientSession, venue: PaperVenue, kit: Kit
) -> None:
    forged = (400, 400, "signature_verification_failed")
    assert (await post(http, venue, kit))[0] == 200
    assert venue.engine.accounts["alpha"].leverage_of("BTC") == 7
    assert await post(http, venue, kit, leverage=8) == forged
    assert await post(http, venue, kit, expiry_window=30_000) == forged
    assert await post(http, venue, kit, signature="1" * 64) == forged
    assert (await post(http, venue, kit, late_ms=1500))[:2] == (400, 400)
    assert (await post(http, venue, kit, key=kit.strangers.agent_key))[:2] == (400, 400)
    assert (await post(http, venue, kit, account="1" * 32))[:2] == (404, 1)
    assert venue.engine.accounts["alpha"].leverage_of("BTC") == 7


async def test_a_late_request_makes_us_doubt_our_clock(
    venue: PaperVenue, client: PacificaExecutionClient, kit: Kit
) -> None:
    await client.submit(resting(kit))
    body = json.dumps({"success": False, "error": "Invalid message: expired", "code": 400})
    venue.faults.add(Fault(FaultKind.ANSWER, "POST", accepts=False, status=400, body=body.encode()))
    with pytest.raises(ClockRefused):
        await client.submit(resting(kit))
    asked = len(venue.ledger.since(kind="request"))
    await client.submit(resting(kit))
    paths = [entry["path"] for entry in venue.ledger.since(kind="request")[asked:]]
    assert paths == ["/api/v1/info/prices", "/api/v1/orders/create"]


async def test_limits_are_told_and_enforced(
    kit: Kit, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacifica_rest, "CREDITS", 25)
    async with PaperVenue.start(kit.config(enforce_limits=True)) as venue:
        async with http.get(f"{venue.rest_url}/api/v1/info") as answer:
            assert answer.headers["ratelimit"].startswith('"credits";r=15;t=')
            assert answer.headers["ratelimit-policy"] == '"credits";q=25;w=60'
        client = PacificaExecutionClient(venue.endpoint, kit.credentials)
        await client.open_orders()
        with pytest.raises(RateLimited) as throttled:
            await client.open_orders()
        assert 1 <= throttled.value.retry_after <= 60
        await client.close()


async def test_orders_are_found_many_pages_back(
    kit: Kit, client: PacificaExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacifica_client, "PAGE", 2)
    first = order(kit, amount="0.01")
    await client.submit(first)
    for _ in range(5):
        await client.submit(order(kit, amount="0.01"))
    found = await settled(client, first)
    assert (found.status, found.filled) == (OrderStatus.FILLED, Decimal("0.01"))
    since = datetime.now(UTC) - timedelta(minutes=1)
    fills = await client.fills(["BTC"], since=since)
    assert len(fills) == 6
    assert [item.at for item in fills] == sorted(item.at for item in fills)
    assert fills[0].client_order_id == first.client_order_id


async def test_fills_of_several_contracts_cost_one_request(
    kit: Kit, venue: PaperVenue, client: PacificaExecutionClient
) -> None:
    for symbol in ("BTC", "ETH"):
        sold = order(kit, amount="0.01", symbol=symbol)
        await client.submit(sold)
        await settled(client, sold)
    since = datetime.now(UTC) - timedelta(minutes=1)
    asked = len(venue.ledger.since(kind="request"))
    both = await client.fills(["BTC", "ETH"], since=since)
    paths = [entry["path"] for entry in venue.ledger.since(kind="request")[asked:]]
    assert paths == ["/api/v1/trades/history"]
    assert [it.venue_symbol for it in both] == ["BTC", "ETH"]
    assert await client.fills(["ETH"], since=since) == [both[1]]
    assert await client.fills(["BTC", "SOL"], since=since) == [both[0]]


async def test_what_is_read_anyway_tells_the_venues_time(
    kit: Kit, venue: PaperVenue, client: PacificaExecutionClient
) -> None:
    before = datetime.now(UTC)
    balance, _held = await asyncio.gather(client.balance(), client.positions())
    assert abs(balance.at - before) < timedelta(seconds=2)
    await client.submit(resting(kit))
    paths = sorted(entry["path"] for entry in venue.ledger.since(kind="request"))
    assert paths == ["/api/v1/account", "/api/v1/orders/create", "/api/v1/positions"]


async def test_an_acceptance_is_not_a_fill_and_the_truth_is_read(
    kit: Kit, venue: PaperVenue, client: PacificaExecutionClient
) -> None:
    command = order(kit, amount="0.01")
    report = await client.submit(command)
    assert (report.status, report.filled, report.average_price) == (OrderStatus.OPEN, 0, None)
    final = await client.order("BTC", command.client_order_id)
    assert (final.status, final.filled) == (OrderStatus.FILLED, Decimal("0.01"))
    assert final.average_price == venue.engine.markets["BTC"].quote.ask


async def test_a_market_order_does_not_chase_beyond_its_slippage(
    kit: Kit,
    venue: PaperVenue,
    client: PacificaExecutionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(facts, "MARKET_SLIPPAGE_PERCENT", "0.0001")
    venue.engine.accounts["alpha"].wallet = Decimal(10**9)
    quote = venue.engine.markets["BTC"].quote
    large = order(kit, amount=f"{quote.ask_size + 1:f}")
    await client.submit(large)
    final = await settled(client, large)
    assert (final.status, final.filled) == (OrderStatus.CANCELLED, quote.ask_size)
    assert final.average_price == quote.ask


async def test_wrong_subscriptions_and_junk_are_met_with_silence(
    http: aiohttp.ClientSession, venue: PaperVenue
) -> None:
    async with http.ws_connect(f"{venue.ws_url}/ws") as socket:
        for junk in (
            "{",
            "[]",
            "17",
            '{"method":"subscribe","params":{"source":"bbo"}}',
            '{"method":"subscribe","params":{"source":"account_trades","account":"x"}}',
        ):
            await socket.send_str(junk)
        await socket.send_str('{"method":"ping"}')
        assert await socket.receive_json(timeout=2) == {"channel": "pong"}
        wanted = {"source": "bbo", "symbol": "BTC"}
        await socket.send_json({"method": "subscribe", "params": wanted})
        assert await socket.receive_json(timeout=2) == {"channel": "subscribe", "data": wanted}


async def test_a_silent_client_is_cut_and_a_heartbeat_keeps_it(
    http: aiohttp.ClientSession, venue: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacifica, "SILENCE_SECONDS", 2)
    assert runner.HEARTBEAT_SECONDS < 60
    async with http.ws_connect(f"{venue.ws_url}/ws") as mute:
        async with http.ws_connect(f"{venue.ws_url}/ws") as alive:
            for _ in range(8):
                await alive.send_str('{"method":"ping"}')
                assert await alive.receive_json(timeout=2) == {"channel": "pong"}
                await asyncio.sleep(0.6)
        gone = await mute.receive(timeout=3)
    assert gone.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)


async def test_the_runner_keeps_a_quiet_stream_alive(
    venue: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacifica, "SILENCE_SECONDS", 1)
    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.3)
    links: list[bool] = []

    async def opened() -> Opening[MarketEvent]:
        session = REGISTRY.market_session("pacifica", venue.endpoint, ["BTC"])
        return Opening(session.url(), session, session.opening_frames(), session.heartbeat())

    held = asyncio.create_task(
        run_session(
            opened,
            lambda events, received: None,
            clock=SYSTEM_CLOCK,
            name="quiet",
            on_link=lambda connected, reason: links.append(connected),
        )
    )
    await asyncio.sleep(4.5)
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert links == [True]


async def test_a_crossing_post_only_order_is_told_as_rejected(
    kit: Kit, venue: PaperVenue, client: PacificaExecutionClient, http: aiohttp.ClientSession
) -> None:
    session, address = REGISTRY.private_session("pacifica"), await client.open_private_stream()
    async with http.ws_connect(address.url) as socket:
        for frame in address.frames:
            await socket.send_str(frame)
        await asyncio.sleep(0.1)
        await client.submit(resting(kit, price="62500"))
        seen: list[OrderUpdate] = []
        async with asyncio.timeout(3):
            while not seen or not seen[-1].order.status.is_final:
                events = session.receive(await socket.receive_str())
                seen += [event for event in events if isinstance(event, OrderUpdate)]
    assert seen[-1].order.status is OrderStatus.REJECTED
    assert len(accepted(venue)) == 1


async def test_capture_of_binance_is_told_in_its_own_words(kit: Kit, tmp_path: Any) -> None:
    capture = tmp_path / "capture.txt"
    capture.write_bytes(b"".join(line(n, START_NS + n * 1_000_000) for n in range(50)))
    seen: list[BookTop] = []
    async with PaperVenue.start(kit.config(replay=(capture,))) as venue:
        session = PacificaMarketSession(venue.endpoint, ["BTC"])
        async with aiohttp.ClientSession() as http, http.ws_connect(session.url()) as socket:
            await socket.send_str(session.opening_frames()[0])
            await socket.receive_str(timeout=5)
            venue.core.running.set()
            while len(seen) < 50:
                events = session.receive(await socket.receive_str(timeout=5))
                assert all(isinstance(event, BookTop) for event in events), events
                seen += [event for event in events if isinstance(event, BookTop)]
        assert venue.core.hub.published["bbo:BTC"] == 50
    assert {(top.venue_symbol, top.bid) for top in seen} == {("BTC", Decimal("61800.2"))}
    assert [top.bid_size for top in seen] == [Decimal(f"{n + 1}.507") for n in range(50)]


def test_what_is_no_capture_is_refused(kit: Kit, tmp_path: Any) -> None:
    (tmp_path / "bad.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match="is no capture"):
        checked(kit.config(replay=(tmp_path / "bad.txt.gz",)))


def test_a_capture_of_pacifica_is_played_by_pacifica_alone(kit: Kit, tmp_path: Any) -> None:
    capture = tmp_path / "capture.txt"
    capture.write_bytes(
        b'1723161255030314667 {"channel":"bbo","data":{"s":"BTC","i":5,"li":5,"t":1723161256300,'
        b'"b":"1","B":"1","a":"2","A":"1"}}\n'
    )
    checked(kit.config(replay=(capture,)))
    with pytest.raises(ConfigError, match="not a capture of what binance speaks"):
        checked(KITS["binance"]().config(replay=(capture,)))


def test_the_venue_settles_names_fees_and_the_interval() -> None:
    config: PaperConfig = checked(KITS["pacifica"]().config())
    listed = config.symbols[0].instrument
    assert (listed.symbol, listed.quote) == ("BTC", "USDC")
    assert (listed.maker_fee, listed.taker_fee) == (Decimal("0.00015"), Decimal("0.0004"))
    assert config.funding_interval_seconds == 3600
    assert checked(config) == config
