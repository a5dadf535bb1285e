"""What many accounts share, long histories read page by page, and secrets kept out of logs."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import BaseAmount
from markets.venues import shared
from markets.venues.binance import api
from markets.venues.binance.client import BinanceExecutionClient
from markets.venues.binance.facts import FEES
from markets.venues.checks import BadAnswer
from markets.venues.errors import NotSent, VenueUnavailable
from markets.venues.fapi import parsing
from markets.venues.paper.model import Trade
from markets.venues.paper.server import PaperVenue
from markets.venues.types import Credentials, Endpoint, OrderType, Side, SubmitOrder
from tests.markets.venues.conftest import KEY, SECRET, paper_config

ORDER = SubmitOrder("BTCUSDT", Side.BUY, OrderType.MARKET, BaseAmount(Decimal("0.01")), "S1")


async def test_accounts_share_one_session_and_the_last_one_closes_it(
    venue: PaperVenue, credentials: Credentials
) -> None:
    clients = [BinanceExecutionClient(venue.endpoint, credentials) for _ in range(20)]
    await asyncio.gather(*(item.balance() for item in clients))
    sessions = {id(item._api.transport._session) for item in clients}
    [session] = {item._api.transport._session for item in clients}
    assert len(sessions) == 1
    assert session is not None
    await asyncio.gather(*(item.close() for item in clients[1:]))
    assert not session.closed
    assert (await clients[0].balance()).equity == 100_000
    await clients[0].close()
    assert session.closed


async def test_many_accounts_starting_at_once_measure_the_clock_once(
    venue: PaperVenue, credentials: Credentials
) -> None:
    clients = [BinanceExecutionClient(venue.endpoint, credentials) for _ in range(10)]
    await asyncio.gather(*(item.positions() for item in clients))
    asked = [e["path"] for e in venue.ledger.since(kind="request")]
    assert asked.count("/fapi/v1/time") == 1
    await asyncio.gather(*(item.close() for item in clients))


async def test_signed_time_follows_the_venues_clock_not_ours(credentials: Credentials) -> None:
    async with PaperVenue.start(paper_config(clock_offset_ms=3_600_000)) as venue:
        one = BinanceExecutionClient(venue.endpoint, credentials)
        report = await one.submit(ORDER)
        assert abs(report.at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=5)
        await one.close()


def test_keys_of_one_account_never_leak_into_another() -> None:
    endpoint = Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")
    made = [
        api.make_api(endpoint, None, 1, Credentials(api_key=Secret(key), api_secret=Secret("s")))
        for key in ("one", "two")
    ]
    assert [item.apiKey for item in made] == ["one", "two"]
    made[0].options["recvWindow"] = 1
    assert made[1].options["recvWindow"] == 5000
    assert api._template().apiKey in (None, "")
    assert all(url.startswith("http://127.0.0.1:1") for url in made[0].urls["api"].values())


def test_an_instance_costs_little() -> None:
    endpoint = Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")
    api._template()
    started = time.process_time()
    for _ in range(200):
        api.make_api(endpoint, None, 1, Credentials())
    assert time.process_time() - started < 0.4


@pytest.mark.parametrize(
    "change", [{"maxRetriesOnFailure": 3}, {"enableRateLimit": True}, {"verbose": True}]
)
def test_ccxt_that_would_repeat_or_print_is_refused(change: dict[str, object]) -> None:
    exchange = api.make_api(
        Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1"), None, 1, Credentials()
    )
    shared.assert_sends_once(exchange)
    for name, value in change.items():
        if name == "maxRetriesOnFailure":
            exchange.options[name] = value
        else:
            setattr(exchange, name, value)
    with pytest.raises(RuntimeError, match="neither repeat"):
        shared.assert_sends_once(exchange)


def test_a_string_that_is_not_ours_is_not_sent() -> None:
    signed = {"url": "http://x/order", "body": "quantity=0.0100&signature=s"}
    shared.assert_sent_as_given(signed, {"quantity": "0.0100"})
    for wrong in ({"quantity": "0.01"}, {"reduceOnly": "true"}):
        with pytest.raises(NotSent, match=next(iter(wrong))):
            shared.assert_sent_as_given(signed, wrong)


@pytest.mark.parametrize("text", ["0x1F", "1.50", "a b", "a+b", "a&b=c", "100%", "é", "", "~-_."])
def test_parameters_are_encoded_as_the_library_does_and_known_again(text: str) -> None:
    params = {"symbol": "BTCUSDT", "note": text, "price": "1"}
    body = shared.form_encoded(params)
    assert body == urlencode(params)
    signed = {"url": "http://x/order", "body": f"{body}&signature=s"}
    shared.assert_sent_as_given(signed, params)
    with pytest.raises(NotSent, match="note"):
        shared.assert_sent_as_given(signed, {**params, "note": text + "0"})
    assert shared.form_encoded({}) == ""


async def test_no_key_reaches_the_log_at_debug(
    venue: PaperVenue, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = BinanceExecutionClient(venue.endpoint, credentials)
    await one.submit(ORDER)
    await one.open_private_stream()
    await one.close()
    for secret in (KEY, SECRET, "signature="):
        assert secret not in caplog.text


# Long histories


def trade(number: int, at: datetime) -> Trade:
    return Trade(
        trade_id=number,
        order_id=1,
        account="alpha",
        symbol="BTCUSDT",
        client_id="c",
        side=Side.BUY,
        amount=Decimal("0.001"),
        price=Decimal(60000),
        fee=Decimal("0.03"),
        fee_asset="USDT",
        realized=Decimal(0),
        is_maker=False,
        external=False,
        at_ns=int(at.timestamp()) * 1_000_000_000,
    )


async def test_all_fills_since_long_ago_are_read_once_each(
    venue: PaperVenue, credentials: Credentials
) -> None:
    now = datetime.now(UTC)
    start = now - timedelta(days=20)
    # More of one moment than a page holds, and a gap longer than one query may span.
    moments = [start] * 1500 + [now - timedelta(days=2)] * 700
    alpha = venue.engine.accounts["alpha"]
    alpha.trades += [trade(number + 1, at) for number, at in enumerate(moments)]
    one = BinanceExecutionClient(venue.endpoint, credentials)

    fills = await one.fills(["BTCUSDT"], since=start - timedelta(hours=1))
    recent = await one.fills(["BTCUSDT"], since=now - timedelta(days=3))

    assert [fill.trade_id for fill in fills] == [str(n + 1) for n in range(2200)]
    assert [fill.trade_id for fill in recent] == [str(n + 1) for n in range(1500, 2200)]
    assert await one.fills(["BTCUSDT"], since=now - timedelta(hours=1)) == []
    await one.close()


async def test_all_funding_is_read_once_each(venue: PaperVenue, credentials: Credentials) -> None:
    now_ns = venue.core.now_ns()
    for hour in range(1300):
        at_ns = now_ns - (1300 - hour) * 3_600_000_000_000
        venue.engine.settle_funding("BTCUSDT", now_ns=at_ns, next_ns=now_ns * 2)
    one = BinanceExecutionClient(venue.endpoint, credentials)
    told = await one.funding_payments(since=datetime.now(UTC) - timedelta(days=90))
    payments = told.rows
    assert told.cursor == ""
    assert len({payment.payment_id for payment in payments}) == len(payments) == 1300
    assert payments == sorted(payments, key=lambda payment: payment.at)
    await one.close()


async def test_a_moment_with_more_income_than_a_page_is_refused(
    venue: PaperVenue, credentials: Credentials
) -> None:
    alpha, now_ns = venue.engine.accounts["alpha"], venue.core.now_ns()
    for _ in range(1001):
        venue.engine.transfer(alpha, Decimal(1), now_ns=now_ns)
    one = BinanceExecutionClient(venue.endpoint, credentials)
    with pytest.raises(VenueUnavailable, match="moment"):
        await one.transfers(since=datetime.now(UTC) - timedelta(hours=1))
    await one.close()


@given(st.binary(max_size=60) | st.text(st.characters(max_codepoint=0x6FF)).map(str.encode))
def test_no_bytes_are_taken_for_an_acknowledgement(body: bytes) -> None:
    for parse in (
        lambda: parsing.acknowledged(body, ORDER),
        lambda: parsing.balance(body, asset="USDT", at=datetime.now(UTC)),
        lambda: parsing.instruments(body, fees=FEES),
    ):
        with pytest.raises(BadAnswer):
            parse()
