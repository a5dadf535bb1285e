"""The paper venue's door: keys, signatures, clocks, limits, sockets, ledger, control, faults."""

import asyncio
import hashlib
import hmac
import json
import re
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from markets.venues.paper import hub
from markets.venues.paper.actor import Actor
from markets.venues.paper.config import (
    ActorConfig,
    ConfigError,
    PaperConfig,
    config_from_json,
    symbol_config,
)
from markets.venues.paper.dialects import fapi_usage
from markets.venues.paper.server import PaperVenue
from tests.markets.venues.conftest import KEY, SECRET, paper_config


class Caller:
    """Raw requests, signed by hand, with every part open to tampering."""

    def __init__(self, http: aiohttp.ClientSession, venue: PaperVenue) -> None:
        self._http = http
        self._venue = venue

    async def plain(
        self, method: str, path: str, *, key: str = KEY, **params: str
    ) -> tuple[int, Any]:
        url = f"{self._venue.rest_url}{path}?{urlencode(params)}"
        async with self._http.request(method, url, headers={"X-MBX-APIKEY": key}) as reply:
            self.headers = reply.headers
            return reply.status, await reply.json(content_type=None)

    async def signed(
        self, method: str, path: str, *, key: str = KEY, secret: str = SECRET, **params: str
    ) -> tuple[int, Any]:
        params = {"timestamp": str(self._venue.core.now_ms()), **params}
        digest = hmac.new(secret.encode(), urlencode(params).encode(), hashlib.sha256)
        return await self.plain(method, path, key=key, **params, signature=digest.hexdigest())

    async def order(self, client_id: str, **params: str) -> tuple[int, Any]:
        order = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "MARKET",
            "quantity": "0.01",
            "newClientOrderId": client_id,
            "newOrderRespType": "RESULT",
        }
        return await self.signed("POST", "/fapi/v1/order", **{**order, **params})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def caller(http: aiohttp.ClientSession, venue: PaperVenue) -> Caller:
    return Caller(http, venue)


def codes(answer: tuple[int, Any]) -> tuple[int, int]:
    return answer[0], answer[1]["code"]


# Who calls


async def test_key_and_signature_are_really_checked(caller: Caller) -> None:
    account = "/fapi/v3/account"
    assert codes(await caller.plain("GET", account, key="")) == (401, -2014)
    assert codes(await caller.signed("GET", account, key="nobody")) == (401, -2015)
    assert codes(await caller.signed("GET", account, secret="wrong")) == (400, -1022)
    assert codes(await caller.plain("GET", account, timestamp="1")) == (400, -1102)
    assert (await caller.signed("GET", account))[0] == 200


async def test_signature_covers_every_byte(caller: Caller, venue: PaperVenue) -> None:
    params = {"symbol": "BTCUSDT", "timestamp": str(venue.core.now_ms())}
    digest = hmac.new(SECRET.encode(), urlencode(params).encode(), hashlib.sha256).hexdigest()
    path = "/fapi/v1/openOrders"
    assert (await caller.plain("GET", path, **params, signature=digest))[0] == 200
    params["symbol"] = "ETHUSDT"
    assert codes(await caller.plain("GET", path, **params, signature=digest)) == (400, -1022)


@pytest.mark.parametrize(
    ("offset_ms", "window", "accepted"),
    [
        (0, "5000", True),
        (-4000, "5000", True),
        (-6000, "5000", False),
        (-6000, "9000", True),
        (900, "5000", True),
        (1500, "5000", False),
    ],
)
async def test_timestamp_must_lie_in_the_window(
    caller: Caller, venue: PaperVenue, offset_ms: int, window: str, accepted: bool
) -> None:
    stamp = str(venue.core.now_ms() + offset_ms)
    status, body = await caller.signed(
        "GET", "/fapi/v3/balance", timestamp=stamp, recvWindow=window
    )
    assert (status == 200) is accepted
    assert accepted or body["code"] == -1021


async def test_replaced_keys_stop_the_old_ones_at_once(
    caller: Caller, http: aiohttp.ClientSession, venue: PaperVenue
) -> None:
    body = {"account": "alpha", "apiKey": "fresh", "apiSecret": "new"}
    async with http.post(f"{venue.rest_url}/control/keys", json=body) as reply:
        assert reply.status == 200
    path = "/fapi/v3/balance"
    assert codes(await caller.signed("GET", path)) == (401, -2015)
    assert (await caller.signed("GET", path, key="fresh", secret="new"))[0] == 200


# What is asked


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPE"}, -1121),
        ({"side": "UP"}, -1117),
        ({"type": "TELEPATHY"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"quantity": "NaN"}, -1130),
        ({"quantity": "1e5000"}, -1130),
        ({"quantity": "0"}, -4003),
        ({"quantity": "-1"}, -4003),
        ({"quantity": ""}, -1102),
        ({"quantity": "0.0105"}, -1111),
        ({"price": "60000"}, -1106),
        ({"type": "LIMIT", "price": "60000"}, -1102),
        ({"type": "LIMIT", "price": "60000", "timeInForce": "SOON"}, -1115),
        ({"type": "LIMIT", "price": "0", "timeInForce": "GTC"}, -4014),
        ({"type": "LIMIT", "price": "90000", "timeInForce": "GTC"}, -4016),
        ({"side": "SELL", "type": "LIMIT", "price": "9000", "timeInForce": "GTC"}, -4024),
        ({"positionSide": "LONG"}, -4061),
        ({"reduceOnly": "maybe"}, -1130),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -4015),
        ({"quantity": "40"}, -2019),
    ],
)
async def test_bad_order_gets_the_venues_own_code(
    caller: Caller, venue: PaperVenue, params: dict[str, str], code: int
) -> None:
    assert codes(await caller.order("bad", **params)) == (400, code)
    assert venue.ledger.since(kind="order") == []


async def test_small_order_needs_reduce_only(caller: Caller, http: aiohttp.ClientSession) -> None:
    config = paper_config(symbols=(symbol_config("BTC", min_notional=Decimal(100)),))
    async with PaperVenue.start(config) as venue:
        other = Caller(http, venue)
        assert codes(await other.order("s1", quantity="0.001", side="SELL")) == (400, -4164)
        status, body = await other.order("s2", quantity="0.001", side="SELL", reduceOnly="true")
        assert (status, body["status"]) == (200, "FILLED")


async def test_unknown_path_is_not_found(caller: Caller) -> None:
    assert codes(await caller.plain("GET", "/fapi/v9/nothing")) == (404, -5000)


async def test_weights_and_order_counts_are_told(caller: Caller) -> None:
    await caller.order("w1")
    await caller.order("w2")
    assert caller.headers["X-MBX-ORDER-COUNT-10S"] == "2"
    before = int(caller.headers["X-MBX-USED-WEIGHT-1M"])
    await caller.signed("GET", "/fapi/v1/openOrders")
    assert int(caller.headers["X-MBX-USED-WEIGHT-1M"]) == before + 40


async def test_limits_can_be_enforced(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fapi_usage, "WEIGHT_PER_MINUTE", 50)
    async with PaperVenue.start(paper_config(enforce_limits=True)) as venue:
        caller = Caller(http, venue)
        assert (await caller.signed("GET", "/fapi/v1/openOrders"))[0] == 200
        assert codes(await caller.signed("GET", "/fapi/v1/openOrders")) == (429, -1003)
        assert 0 < int(caller.headers["Retry-After"]) <= 60
        for _ in range(fapi_usage.PATIENCE):
            last = await caller.signed("GET", "/fapi/v1/openOrders")
        assert codes(last) == (418, -1003)
        assert re.search(r"banned until \d{13}", last[1]["msg"])
        assert 110 < int(caller.headers["Retry-After"]) <= 121


async def test_limits_are_of_each_address(caller: Caller, venue: PaperVenue) -> None:
    """Accounts behind two proxies do not use up each other's weights (vendor: "IP Limits")."""
    await caller.signed("GET", "/fapi/v1/openOrders")
    elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=elsewhere) as http:
        other = Caller(http, venue)
        await other.signed("GET", "/fapi/v1/openOrders")
        assert other.headers["X-MBX-USED-WEIGHT-1M"] == "40"


async def test_an_accounts_orders_can_be_limited(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fapi_usage, "ORDERS", {60_000_000: 0})
    async with PaperVenue.start(paper_config(enforce_limits=True)) as venue:
        caller = Caller(http, venue)
        assert codes(await caller.order("c1")) == (429, -1015)
        assert (await caller.signed("GET", "/fapi/v1/openOrders"))[0] == 200


async def test_dead_man_timer_really_cancels(caller: Caller, venue: PaperVenue) -> None:
    for client_id, symbol in (("d1", "BTCUSDT"), ("d2", "ETHUSDT")):
        price = "61000" if symbol == "BTCUSDT" else "2600"
        await caller.order(client_id, symbol=symbol, type="LIMIT", price=price, timeInForce="GTC")
    timer = "/fapi/v1/countdownCancelAll"
    await caller.signed("POST", timer, symbol="BTCUSDT", countdownTime="100")
    await caller.signed("POST", timer, symbol="ETHUSDT", countdownTime="100")
    await caller.signed("POST", timer, symbol="ETHUSDT", countdownTime="0")
    await asyncio.sleep(0.15)
    venue.core.pass_second(1)
    _, left = await caller.signed("GET", "/fapi/v1/openOrders")
    assert [order["clientOrderId"] for order in left] == ["d2"]


async def test_venue_clock_can_be_off(http: aiohttp.ClientSession) -> None:
    async with PaperVenue.start(paper_config(clock_offset_ms=-60_000)) as venue:
        caller = Caller(http, venue)
        assert (await caller.order("c1"))[0] == 200
        ahead = str(venue.core.now_ms() + 60_000)
        assert codes(await caller.order("c2", timestamp=ahead)) == (400, -1021)


# Sockets


async def messages(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    return [json.loads((await ws.receive(timeout=3)).data) for _ in range(count)]


async def test_subscribe_list_and_unsubscribe(
    http: aiohttp.ClientSession, venue: PaperVenue
) -> None:
    async with http.ws_connect(f"{venue.ws_url}/public/ws/1") as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1})
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert await messages(ws, 2) == [
            {"result": None, "id": 1},
            {"result": ["btcusdt@bookTicker"], "id": 2},
        ]
        venue.core.jump("BTCUSDT", Decimal(62000))
        [event] = await messages(ws, 1)
        assert (event["e"], event["b"]) == ("bookTicker", "62000.00")
        await ws.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 3})
        assert await messages(ws, 1) == [{"result": None, "id": 3}]
        venue.core.jump("BTCUSDT", Decimal(63000))
        await ws.send_json({"method": "DANCE", "id": 4})
        [error] = await messages(ws, 1)
        assert error["error"]["code"] == 2


async def test_stream_on_the_wrong_path_is_acknowledged_and_silent(
    http: aiohttp.ClientSession, venue: PaperVenue
) -> None:
    async with http.ws_connect(f"{venue.ws_url}/market/ws") as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1})
        assert await messages(ws, 1) == [{"result": None, "id": 1}]
        venue.core.jump("BTCUSDT", Decimal(62000))
        venue.core.pass_second(1)
        with pytest.raises(asyncio.TimeoutError):
            await ws.receive(timeout=0.3)


async def test_combined_stream_is_wrapped(http: aiohttp.ClientSession, venue: PaperVenue) -> None:
    url = f"{venue.ws_url}/market/stream?streams=btcusdt@markPrice@1s/!markPrice@arr@1s"
    async with http.ws_connect(url) as ws:
        venue.core.pass_second(1)
        one, all_ = await messages(ws, 2)
    assert one["stream"] == "btcusdt@markPrice@1s"
    assert one["data"]["r"] == "0.0001"
    assert [item["s"] for item in all_["data"]] == ["BTCUSDT", "ETHUSDT"]


async def test_user_stream_needs_a_living_listen_key(
    http: aiohttp.ClientSession, caller: Caller, venue: PaperVenue
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(f"{venue.ws_url}/private/ws/nonsense")
    assert codes(await caller.plain("PUT", "/fapi/v1/listenKey")) == (400, -1125)
    _, made = await caller.plain("POST", "/fapi/v1/listenKey")
    _, again = await caller.plain("POST", "/fapi/v1/listenKey")
    assert made == again
    async with http.ws_connect(f"{venue.ws_url}/private/ws/{made['listenKey']}") as ws:
        await caller.order("u1")
        events = await messages(ws, 4)
        assert [event["e"] for event in events] == [
            "ORDER_TRADE_UPDATE",
            "ACCOUNT_UPDATE",
            "TRADE_LITE",
            "ORDER_TRADE_UPDATE",
        ]
        await caller.plain("DELETE", "/fapi/v1/listenKey")
        [end] = await messages(ws, 1)
        assert end["e"] == "listenKeyExpired"


async def test_reader_that_does_not_read_is_cut_and_others_are_not(
    http: aiohttp.ClientSession, venue: PaperVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_BUFFER", 64 * 1024)
    url = f"{venue.ws_url}/public/ws/btcusdt@bookTicker"
    async with http.ws_connect(url) as good:
        lazy = socket.create_connection(("127.0.0.1", venue.port))
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(
            b"GET /public/ws/btcusdt@bookTicker HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        while len(venue.core.hub.clients) < 2:  # noqa: ASYNC110 - the venue tells nobody
            await asyncio.sleep(0.01)
        total = 0
        while not any(client.cut for client in [*venue.core.hub.past]):
            for _ in range(500):
                venue.core.jump("BTCUSDT", Decimal(62000))
            total += 500
            for _ in range(500):
                assert (await good.receive(timeout=3)).type is aiohttp.WSMsgType.TEXT
            assert total < 200_000
        lazy.close()
    assert venue.core.hub.published["btcusdt@bookTicker"] == total


# Ledger and control


async def test_ledger_holds_every_request_and_no_secret(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    async with PaperVenue.start(paper_config(ledger=path)) as venue:
        caller = Caller(http, venue)
        await caller.order("l1")
        await caller.order("l2", quantity="0.0001")
        await caller.plain("POST", "/fapi/v1/listenKey")
        in_memory = venue.ledger.since()
    text = path.read_text()
    entries = [json.loads(line) for line in text.splitlines()]

    assert entries == in_memory
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    requests = [entry for entry in entries if entry["kind"] == "request"]
    assert [(entry["status"], entry["code"], entry["account"]) for entry in requests] == [
        (200, None, "alpha"),
        (400, -1111, "alpha"),
        (200, None, "alpha"),
    ]
    assert requests[0]["receivedNs"] <= requests[0]["answeredNs"]
    fill = next(entry for entry in entries if entry["kind"] == "fill")
    assert (fill["clientOrderId"], fill["amount"], fill["external"]) == ("l1", "0.01", False)
    for secret in (KEY, SECRET, "signature", "listenKey="):
        assert secret not in text


async def test_control_is_off_unless_asked_for(http: aiohttp.ClientSession) -> None:
    async with (
        PaperVenue.start(paper_config(control=False)) as venue,
        http.get(f"{venue.rest_url}/control/accounts") as reply,
    ):
        assert reply.status == 404


async def test_control_moves_positions_prices_and_funding(
    http: aiohttp.ClientSession, venue: PaperVenue
) -> None:
    async def control(path: str, **body: Any) -> tuple[int, Any]:
        async with http.post(f"{venue.rest_url}/control/{path}", json=body) as reply:
            return reply.status, await reply.json()

    moved = await control("position", account="alpha", symbol="BTC", amount="-0.7")
    assert moved[0] == 200
    assert venue.engine.accounts["alpha"].size("BTCUSDT") == Decimal("-0.2")
    assert (await control("price", symbol="BTC", price="65000"))[1]["bid"] == "65000.00"
    assert (await control("price", symbol="BTC", factor="0.5"))[1]["bid"] == "32500.00"
    await control("funding", symbol="BTC", rate="-0.001", settle=True)
    income = [item for item in venue.engine.accounts["alpha"].income if item.kind == "FUNDING_FEE"]
    assert income[0].amount == Decimal("-0.2") * venue.engine.markets["BTCUSDT"].mark / 1000
    await control("resume")
    assert not venue.core.paused
    async with http.get(f"{venue.rest_url}/control/accounts") as reply:
        [alpha, _] = (await reply.json())["accounts"]
    assert alpha["positions"] == {"BTCUSDT": "-0.2"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("position", {"account": "nobody", "symbol": "BTC", "amount": "1"}, 400),
        ("position", {"account": "alpha", "symbol": "DOGE", "amount": "1"}, 400),
        ("position", {"account": "alpha", "symbol": "BTC", "amount": "NaN"}, 400),
        ("position", {"account": "alpha", "symbol": "BTC", "amount": "0"}, 400),
        ("position", {"account": "beta", "symbol": "BTC", "amount": "50"}, 409),
        ("price", {"symbol": "BTC", "price": "-1"}, 400),
        ("keys", {"account": "alpha"}, 400),
        ("fault", {"kind": "tsunami"}, 400),
    ],
)
async def test_control_refuses_nonsense(
    http: aiohttp.ClientSession, venue: PaperVenue, path: str, body: dict[str, str], status: int
) -> None:
    async with http.post(f"{venue.rest_url}/control/{path}", json=body) as reply:
        assert reply.status == status
    assert venue.ledger.since(kind="order") == []


async def test_control_pages_the_ledger_by_sequence(
    http: aiohttp.ClientSession, caller: Caller, venue: PaperVenue
) -> None:
    await caller.order("p1")
    url = f"{venue.rest_url}/control/ledger"
    async with http.get(url, params={"since": "0", "kind": "order"}) as reply:
        first = await reply.json()
    assert [entry["execution"] for entry in first["entries"]] == ["NEW", "TRADE"]
    async with http.get(url, params={"since": str(first["last"])}) as reply:
        assert (await reply.json())["entries"] == []


async def test_actor_moves_positions_by_itself_and_stays_near(venue: PaperVenue) -> None:
    actor = Actor(venue.core, ActorConfig(Decimal(1), Decimal("0.01"), ("alpha",)))
    for _ in range(200):
        actor.act()
    fills = venue.ledger.since(kind="fill")
    assert len(fills) >= 200
    assert all(fill["external"] and fill["account"] == "alpha" for fill in fills)
    assert abs(venue.engine.accounts["alpha"].size("BTCUSDT") - Decimal("0.5")) < Decimal("0.1")


async def test_actor_acts_on_time() -> None:
    config = paper_config(
        start_paused=False, actor=ActorConfig(Decimal("0.05"), Decimal("0.01"), ("alpha",))
    )
    async with PaperVenue.start(config) as venue:
        for _ in range(100):
            await asyncio.sleep(0.05)
            if len(venue.ledger.since(kind="fill")) >= 3:
                return
    pytest.fail("the actor did not trade")


# Prices and configuration


async def test_same_seed_gives_the_same_prices_and_never_a_crossed_quote() -> None:
    def walk(seed: int) -> list[tuple[Decimal, Decimal]]:
        venue = PaperVenue(paper_config(seed=seed, start_paused=False))
        quotes = []
        for _ in range(300):
            venue.core.step_prices()
            quotes.append(venue.engine.markets["BTCUSDT"].quote)
        assert all(0 < quote.bid < quote.ask for quote in quotes)
        assert all(quote.bid % Decimal("0.1") == 0 for quote in quotes)
        assert all(one.update_id < two.update_id for one, two in pairwise(quotes))
        return [(quote.bid, quote.bid_size) for quote in quotes]

    assert walk(7) == walk(7)
    assert walk(7) != walk(8)


def test_configuration_is_read_whole() -> None:
    config = config_from_json(
        json.dumps(
            {
                "name": "paper-b",
                "symbols": ["BTC", {"base": "XYZ", "price": "3.5", "tick": "0.25", "lot": "5"}],
                "accounts": [
                    {
                        "label": "a",
                        "apiKey": "k",
                        "apiSecret": "s",
                        "balance": "10",
                        "positions": {"BTC": "-0.5"},
                    }
                ],
                "actor": {"everySeconds": "4", "size": "0.1", "accounts": ["a"]},
                "control": True,
            }
        )
    )
    assert config.symbols[1].instrument.tick == Decimal("0.25")
    assert config.accounts[0].positions == {"BTC": Decimal("-0.5")}
    assert config.actor == ActorConfig(Decimal(4), Decimal("0.1"), ("a",))
    assert "k" not in repr(config.accounts[0].api_key)


BASE: dict[str, Any] = {"symbols": ["BTC"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "at least one symbol"),
        (json.dumps({"symbols": ["btc"]}), "'btc'"),
        (json.dumps({"symbols": ["BTC", "BTC"]}), "symbol may be given only once"),
        (json.dumps({**BASE, "port": 70000}), "70000"),
        (json.dumps({**BASE, "speed": 1}), "unknown fields: speed"),
        (json.dumps({**BASE, "dialect": "klingon"}), "klingon"),
        (json.dumps({**BASE, "replay": ["/nowhere.gz"]}), "/nowhere.gz"),
        (json.dumps({**BASE, "replaySpeed": "0"}), "above zero"),
        (json.dumps({**BASE, "volatility": "NaN"}), "volatility"),
        (json.dumps({**BASE, "accounts": [{"label": "a"}]}), "account.apiKey"),
        (json.dumps({**BASE, "actor": {"everySeconds": "0"}}), "above zero"),
        (json.dumps({**BASE, "control": "yes"}), "control must be true or false"),
    ],
)
def test_wrong_configuration_names_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_from_json(text)


def test_listens_on_loopback_only(venue: PaperVenue) -> None:
    assert venue.rest_url.startswith("http://127.0.0.1:")
    assert isinstance(venue.core.config, PaperConfig)
