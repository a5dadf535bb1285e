"""What comes of an order whose answer is lost, cut, false or poisoned: never a guess, one send."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from controlplane.kernel.units import BaseAmount, Price
from markets.venues import shared
from markets.venues.binance.client import BinanceExecutionClient
from markets.venues.errors import (
    AuthenticationFailed,
    ClockRefused,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    ProxyRefused,
    RateLimited,
    VenueError,
    VenueRejected,
    VenueUnavailable,
)
from markets.venues.fapi.errors import failure
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.shared import HttpAnswer
from markets.venues.types import Credentials, Endpoint, OrderStatus, OrderType, Side, SubmitOrder
from tests.markets.venues.misbehaving import FINISH, HANG, RESET, MisbehavingServer, http

ORDER = SubmitOrder(
    venue_symbol="BTCUSDT",
    side=Side.BUY,
    type=OrderType.LIMIT,
    amount=BaseAmount(Decimal("0.010")),
    client_order_id="OURS1",
    price=Price(Decimal("60000.0")),
)


def echo(**changes: Any) -> bytes:
    """An honest echo of ORDER, with lies put in."""
    row: dict[str, Any] = {
        "orderId": 7,
        "symbol": "BTCUSDT",
        "status": "NEW",
        "clientOrderId": "OURS1",
        "price": "60000.00",
        "avgPrice": "0.00",
        "origQty": "0.010",
        "executedQty": "0",
        "cumQuote": "0",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "reduceOnly": False,
        "side": "BUY",
        "positionSide": "BOTH",
        "updateTime": time.time_ns() // 1_000_000,
    }
    row |= changes
    return json.dumps({key: value for key, value in row.items() if value is not None}).encode()


def code(number: int, text: str = "Said the venue.") -> bytes:
    return json.dumps({"code": number, "msg": text}).encode()


HONEST = http(echo())
UNKNOWN = {
    "connection reset before any answer": RESET,
    "connection ended before any answer": FINISH,
    "no answer until the timeout": HANG,
    "body cut": http(echo()[:40], length=400),
    "chunk cut": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"orderId":',
    "garbage status line": b"\x00\x01 what\r\n\r\n",
    "gzip garbage": http(b"\x1f\x8bnonsense", "200 OK", "Content-Encoding: gzip"),
    "empty body": http(b""),
    "null": http(b"null"),
    "empty list": http(b"[]"),
    "empty object": http(b"{}"),
    "HTML": http(b"<html>Welcome</html>"),
    "NaN": http(echo().replace(b'"0.010"', b"NaN")),
    "NaN in a text": http(echo(origQty="NaN")),
    "no id": http(echo(orderId=None)),
    "id null": http(echo().replace(b'"orderId": 7', b'"orderId": null')),
    "negative id": http(echo(orderId=-7)),
    "negative amount": http(echo(origQty="-0.010")),
    "another amount": http(echo(origQty="0.011")),
    "999 filled of 1": http(echo(status="FILLED", executedQty="999", avgPrice="60000")),
    "filled without a price": http(echo(status="FILLED", executedQty="0.010")),
    "new yet filled": http(echo(executedQty="0.005", avgPrice="60000")),
    "1e400": http(echo(avgPrice="1e400")),
    "infinite price": http(echo(price="Infinity")),
    "another price": http(echo(price="59999.9")),
    "another side": http(echo(side="SELL")),
    "unknown side": http(echo(side="BOTH")),
    "reduce-only though not asked": http(echo(reduceOnly=True)),
    "unknown status": http(echo(status="PENDING_SOMETHING")),
    "another symbol": http(echo(symbol="ETHUSDT")),
    "another client's id": http(echo(clientOrderId="THEIRS")),
    "a number in place of a text": http(echo(origQty=0.01)),
    "a clock from the year 5138": http(echo(updateTime=100_000_000_000_000)),
    "a clock an hour ahead": http(echo(updateTime=time.time_ns() // 1_000_000 + 3_600_000)),
    "20 MB": http(echo(padding="x" * 20_000_000)),
    "20 MB zipped": http(
        gzip.compress(echo(padding="x" * 20_000_000)), "200 OK", "Content-Encoding: gzip"
    ),
    "5,000 levels deep": http(b"[" * 5_000 + b"]" * 5_000),
    "502": http(b"<html>Bad gateway</html>", "502 Bad Gateway"),
    "503 -1007": http(code(-1007, "Send status unknown."), "503 Service Unavailable"),
    "504": http(b"", "504 Gateway Timeout"),
    "408": http(code(-1007), "408 Request Timeout"),
    "400 -1006": http(code(-1006), "400 Bad Request"),
    "400 -1000": http(code(-1000), "400 Bad Request"),
    "400 without a code": http(b'{"message":"no"}', "400 Bad Request"),
    "400 with a text for a code": http(b'{"code":"no"}', "400 Bad Request"),
    "403 of a firewall": http(b"<html>Forbidden</html>", "403 Forbidden"),
    "a redirect": http(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:9/"),
    "407 within the connection": http(b"", "407 Proxy Authentication Required"),
    "an order with our id exists": http(code(-4116), "400 Bad Request"),
    "500 with a rejecting code": http(code(-2019), "500 Internal Server Error"),
}
PROVEN: dict[str, tuple[bytes, type[VenueError]]] = {
    "insufficient margin": (http(code(-2019), "400 Bad Request"), VenueRejected),
    "precision": (http(code(-1111), "400 Bad Request"), VenueRejected),
    "smallest notional": (http(code(-4164), "400 Bad Request"), VenueRejected),
    "post-only would cross": (http(code(-5022), "400 Bad Request"), VenueRejected),
    "reduce-only": (http(code(-2022), "400 Bad Request"), VenueRejected),
    "unknown symbol": (http(code(-1121), "400 Bad Request"), VenueRejected),
    "clock": (http(code(-1021), "400 Bad Request"), ClockRefused),
    "bad signature": (http(code(-1022), "400 Bad Request"), AuthenticationFailed),
    "bad key": (http(code(-2015), "401 Unauthorized"), AuthenticationFailed),
    "429": (http(code(-1003), "429 Too Many Requests", "Retry-After: 7"), RateLimited),
    "418": (http(b"", "418 I'm a teapot", "Retry-After: 120"), RateLimited),
    "too many orders": (http(code(-1015), "400 Bad Request"), RateLimited),
    "overloaded, not executed": (http(code(-1008), "503 Service Unavailable"), RateLimited),
}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MisbehavingServer]:
    monkeypatch.setattr(shared, "TOTAL_SECONDS", 0.5)
    async with MisbehavingServer().serve() as running:
        yield running


@pytest.fixture
async def client(
    server: MisbehavingServer, credentials: Credentials
) -> AsyncIterator[BinanceExecutionClient]:
    rest = f"http://127.0.0.1:{server.port}"
    made = BinanceExecutionClient(Endpoint(rest, "ws://127.0.0.1:1"), credentials)
    yield made
    await made.close()


async def test_an_honest_echo_is_an_acknowledgement(
    server: MisbehavingServer, client: BinanceExecutionClient
) -> None:
    server.order_answer = HONEST
    report = await client.submit(ORDER)
    assert (report.venue_order_id, report.status) == ("7", OrderStatus.OPEN)
    assert report.amount == Decimal("0.01")
    assert len(server.orders) == 1


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN.keys())
async def test_what_is_no_evidence_is_unknown_and_sent_once(
    server: MisbehavingServer, client: BinanceExecutionClient, answer: bytes
) -> None:
    server.order_answer = answer
    with pytest.raises(OutcomeUnknown):
        await client.submit(ORDER)
    await asyncio.sleep(0)
    assert len(server.orders) == 1


@pytest.mark.parametrize(("answer", "error"), PROVEN.values(), ids=PROVEN.keys())
async def test_what_the_venue_says_clearly_is_believed(
    server: MisbehavingServer,
    client: BinanceExecutionClient,
    answer: bytes,
    error: type[VenueError],
) -> None:
    server.order_answer = answer
    with pytest.raises(VenueError) as raised:
        await client.submit(ORDER)
    assert type(raised.value) is error
    assert len(server.orders) == 1


# An empty list is an answer to a query.
FAILED_QUERIES = {name: answer for name, answer in UNKNOWN.items() if name != "empty list"} | {
    "a refusal": http(code(-1121), "400 Bad Request")
}


@pytest.mark.parametrize("answer", FAILED_QUERIES.values(), ids=FAILED_QUERIES.keys())
async def test_a_failed_query_is_unavailable_never_empty(
    server: MisbehavingServer, client: BinanceExecutionClient, answer: bytes
) -> None:
    server.read_answer = answer
    with pytest.raises(VenueUnavailable):
        await client.positions()
    with pytest.raises(VenueUnavailable):
        await client.balance()


async def test_one_poisoned_row_spoils_the_whole_list(
    server: MisbehavingServer, client: BinanceExecutionClient
) -> None:
    server.read_answer = http(b"[" + echo() + b"," + echo(executedQty="-1") + b"]")
    with pytest.raises(VenueUnavailable):
        await client.open_orders()


async def test_retry_after_is_read_and_bounded() -> None:
    def wait(headers: dict[str, str], body: bytes) -> float:
        error = failure(HttpAnswer(418, headers, body), now_ms=1_795_000_000_000)
        assert isinstance(error, RateLimited)
        return error.retry_after

    assert wait({"retry-after": "7"}, b"") == 7
    assert wait({"Retry-After": "99999999"}, b"") == 3 * 24 * 3600
    assert wait({"Retry-After": "soon"}, b"") == 30
    assert wait({}, code(-1003, "Way too many; IP banned until 1795000090000.")) == 91


async def test_a_wrong_clock_is_measured_again(
    server: MisbehavingServer, client: BinanceExecutionClient
) -> None:
    server.order_answer = http(code(-1021), "400 Bad Request")
    with pytest.raises(VenueRejected):
        await client.submit(ORDER)
    assert not shared.server_clock(f"http://127.0.0.1:{server.port}").is_known
    server.order_answer = HONEST
    assert (await client.submit(ORDER)).venue_order_id == "7"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_dead_proxy_is_proven_not_sent(
    server: MisbehavingServer, credentials: Credentials, scheme: str
) -> None:
    rest = f"http://127.0.0.1:{server.port}"
    client = BinanceExecutionClient(
        Endpoint(rest, "ws://127.0.0.1:1"), credentials, proxy_url=f"{scheme}://u:p@127.0.0.1:9"
    )
    with pytest.raises(NotSent) as raised:
        await client.submit(ORDER)
    assert "u:p" not in str(raised.value)
    assert server.orders == []
    await client.close()


async def test_a_proxy_that_refuses_the_tunnel_is_the_proxys_fault(
    server: MisbehavingServer, credentials: Credentials
) -> None:
    """CONNECT is used towards https: the refusal comes before a byte is sent to the venue."""
    server.read_answer = http(b"", "407 Proxy Authentication Required")
    client = BinanceExecutionClient(
        Endpoint("https://fapi.binance.com", "wss://fstream.binance.com"),
        credentials,
        proxy_url=f"http://u:wrong@127.0.0.1:{server.port}",
    )
    with pytest.raises(ProxyRefused):
        await client.submit(ORDER)
    await client.close()


async def test_nothing_secret_is_in_an_error(
    server: MisbehavingServer, client: BinanceExecutionClient
) -> None:
    server.order_answer = http(
        code(-1102, "bad signature=abcdef0123456789 apiKey=paper-key"), "400 Bad Request"
    )
    with pytest.raises(VenueRejected) as raised:
        await client.submit(ORDER)
    assert "abcdef" not in str(raised.value)
    assert "paper-key" not in str(raised.value)


# The same with a venue that really has the order.


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET, "POST", "/fapi/v1/order"),
        Fault(FaultKind.RAW, "POST", "/fapi/v1/order", body=b"HTTP/1.1 200 OK\r\n"),
        Fault(FaultKind.ANSWER, "POST", "/fapi/v1/order", status=502, body=b"<html>"),
    ],
    ids=lambda fault: fault.kind,
)
async def test_accepted_order_with_a_lost_reply_is_found_by_its_id(
    venue: PaperVenue, credentials: Credentials, fault: Fault
) -> None:
    client = BinanceExecutionClient(venue.endpoint, credentials)
    venue.faults.add(fault)
    with pytest.raises(OutcomeUnknown):
        await client.submit(ORDER)

    assert (await client.order("BTCUSDT", "OURS1")).status is OrderStatus.OPEN
    assert [e["clientOrderId"] for e in venue.ledger.since(kind="order")] == ["OURS1"]
    await client.close()


async def test_order_lost_before_acceptance_is_unknown_too_and_not_there(
    venue: PaperVenue, credentials: Credentials
) -> None:
    client = BinanceExecutionClient(venue.endpoint, credentials)
    venue.faults.add(Fault(FaultKind.RESET, "POST", "/fapi/v1/order", accepts=False))
    with pytest.raises(OutcomeUnknown):
        await client.submit(ORDER)

    with pytest.raises(OrderNotFound):
        await client.order("BTCUSDT", "OURS1")
    assert venue.ledger.since(kind="order") == []
    await client.close()
