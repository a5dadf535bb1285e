"""C01-C0E: what is read is the venue's own, exact and only about what was asked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from markets.venues.errors import AuthenticationFailed, OrderNotFound
from markets.venues.paper.model import Settlement
from markets.venues.paper.server import PaperVenue
from markets.venues.ports import ExecutionClient, MarketClient
from markets.venues.types import Side, Slice, Transfer
from tests.contracts.conftest import REGISTRY
from tests.contracts.kits import Kit, mark
from tests.contracts.orders import order, settled


async def test_c01_instruments_carry_their_own_steps(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    listed = {item.venue_symbol: item for item in await market.instruments()}
    rules = venue.engine.markets[kit.symbol].instrument
    found = listed[kit.symbol]
    assert (found.base, found.quote, found.contract_size) == ("BTC", kit.quote, 1)
    assert (found.tick, found.lot) == (rules.tick, rules.lot)
    assert found.min_notional == rules.min_notional
    assert found.is_active
    assert found.taker_fee is not None
    assert len(listed) == 2


async def test_c02_book_tops_are_the_venues_quotes(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    symbols = list(venue.engine.markets)
    for wanted in (symbols[:1], symbols):
        tops = await market.book_tops(wanted)
        quotes = [venue.engine.markets[symbol].quote for symbol in wanted]
        assert [(t.venue_symbol, t.bid, t.bid_size, t.ask, t.ask_size) for t in tops] == [
            (s, q.bid, q.bid_size, q.ask, q.ask_size) for s, q in zip(wanted, quotes, strict=True)
        ]


async def test_c03_funding_quotes_tell_rate_interval_and_next_time(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    found = {item.venue_symbol: item for item in await market.funding_quotes()}
    quote, state = found[kit.symbol], venue.engine.markets[kit.symbol]
    assert quote.rate == state.funding_rate
    assert quote.mark_price == mark(venue, kit)
    assert quote.interval_hours == venue.core.funding_hours
    assert quote.next_funding_at.timestamp() * 1e9 == state.next_funding_ns
    assert len(found) == 2


async def test_c0a_funding_settlements_are_the_past_in_order(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    state = venue.engine.markets[kit.symbol]
    state.funding_rate = Decimal("-0.00037")
    # The last one once more, at another rate: one to come would not be believed.
    due_ns = state.next_funding_ns = state.settlements.pop().at_ns
    venue.engine.settle_funding(kit.symbol, now_ns=due_ns, next_ns=due_ns + 10**13)
    wanted = state.settlements[-30:]
    since = datetime.fromtimestamp(wanted[0].at_ns / 1e9, UTC)
    found = await market.funding_settlements(kit.symbol, since=since)
    assert [(int(f.at.timestamp() * 10**9), f.rate) for f in found] == [
        (item.at_ns, item.rate) for item in wanted
    ]
    assert found[-1].rate == Decimal("-0.00037")
    assert {item.venue_symbol for item in found} == {kit.symbol}
    later = found[-1].at - timedelta(milliseconds=1)
    assert await market.funding_settlements(kit.symbol, since=later) == found[-1:]


async def test_c0b_more_settlements_than_a_page_come_once_each(
    kit: Kit, venue: PaperVenue, market: MarketClient
) -> None:
    state = venue.engine.markets[kit.symbol]
    hour = 3600 * 10**9
    first_ns = state.next_funding_ns - 1300 * hour
    state.settlements = [
        Settlement(first_ns + n * hour, Decimal(n) / 1_000_000, Decimal(100)) for n in range(1200)
    ]
    since = datetime.fromtimestamp(first_ns / 1e9, UTC)
    found = await market.funding_settlements(kit.symbol, since=since)
    assert [item.rate for item in found] == [Decimal(n) / 1_000_000 for n in range(1200)]


async def test_c04_the_clock_is_the_venues(kit: Kit) -> None:
    async with PaperVenue.start(kit.config(clock_offset_ms=3_600_000)) as venue:
        market = REGISTRY.market_client(kit.dialect, venue.endpoint)
        ahead = await market.server_time() - datetime.now(UTC)
        assert abs(ahead - timedelta(hours=1)) < timedelta(seconds=2)
        await market.close()


async def test_c05_balance_is_the_venues_own_arithmetic(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    balance = await client.balance()
    state = venue.engine.margin(venue.engine.accounts["alpha"])
    assert (balance.equity, balance.wallet_balance) == (state.equity, state.wallet)
    assert balance.initial_margin == state.initial_margin > 0
    assert balance.available == state.available
    assert balance.asset == kit.quote


async def test_c06_positions_are_signed_and_flat_ones_left_out(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    [position] = await client.positions()
    assert (position.venue_symbol, position.size) == (kit.symbol, Decimal("0.5"))
    assert position.entry_price == mark(venue, kit)
    command = order(kit, side=Side.SELL, amount="0.8")
    await client.submit(command)
    await settled(client, command)
    assert [item.size for item in await client.positions()] == [Decimal("-0.3")]


async def test_c07_funding_payments_come_once_with_their_sign(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    now_ns = venue.core.now_ns()
    venue.engine.settle_funding(kit.symbol, now_ns=now_ns, next_ns=now_ns + 10**13)
    [payment] = (await client.funding_payments(since=before)).rows
    assert payment.venue_symbol == kit.symbol
    assert payment.amount == -Decimal("0.5") * mark(venue, kit) * Decimal("0.0001")
    assert payment.asset == kit.quote
    later = await client.funding_payments(since=payment.at + timedelta(seconds=1))
    assert (later.rows, later.cursor) == ([], "")


def transfer(venue: PaperVenue, amount: str, *, ago_ms: int = 0) -> None:
    account = venue.engine.accounts["alpha"]
    at_ns = venue.core.now_ns() - ago_ms * 1_000_000
    venue.engine.transfer(account, Decimal(amount), now_ns=at_ns)


async def test_c0c_transfers_come_once_in_and_out_among_what_is_none(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    transfer(venue, "500.25")
    await client.submit(order(kit, side=Side.SELL, amount="0.2"))
    now_ns = venue.core.now_ns()
    venue.engine.settle_funding(kit.symbol, now_ns=now_ns, next_ns=now_ns + 10**13)
    transfer(venue, "-20")
    found = await client.transfers(since=before)
    assert found.cursor == ""
    told = [item for item in found.rows if isinstance(item, Transfer)]
    assert [(it.amount, it.asset) for it in told] == [
        (Decimal("500.25"), kit.quote), (Decimal(-20), kit.quote),
    ]  # fmt: skip
    assert len({(it.kind, it.transfer_id) for it in told}) == len(found.rows) == 2
    assert await client.transfers(since=before) == found
    assert (await client.transfers(since=told[1].at + timedelta(seconds=1))).rows == []


async def test_c0d_more_transfers_than_a_page_come_once_each(
    kit: Kit, venue: PaperVenue, client: ExecutionClient
) -> None:
    many = 2 * kit.words.ledger_page + 50
    for n in range(1, many + 1):
        transfer(venue, str(n), ago_ms=many - n)
    found = await client.transfers(since=datetime.now(UTC) - timedelta(hours=1))
    amounts = [item.amount for item in found.rows if isinstance(item, Transfer)]
    assert amounts == [Decimal(n) for n in range(1, many + 1)]


async def test_c0e_a_long_history_comes_in_slices_that_leave_nothing_out(
    kit: Kit, venue: PaperVenue, client: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client_of in ("fapi", "pacifica"):
        monkeypatch.setattr(f"markets.venues.{client_of}.client.PAGE", 12)
    for bound in ("fapi.client.SLICE", "pacifica.client.LEDGER", "pacifica.client.FUNDING"):
        monkeypatch.setattr(f"markets.venues.{bound}_PAGES", 2)
    since, now_ns = datetime.now(UTC) - timedelta(hours=1), venue.core.now_ns()
    alpha = venue.engine.accounts["alpha"]
    for n in range(1, 31):
        at_ns = now_ns - (300 - n) * 1_000_000
        venue.engine.transfer(alpha, Decimal(n), now_ns=at_ns)
        venue.engine.settle_funding(kit.symbol, now_ns=at_ns, next_ns=now_ns * 2)
    moved = await slices(client.transfers, since)
    paid = await slices(client.funding_payments, since)
    assert (len(moved), len(paid)) == (3, 2)  # of 60 lines and of 30
    amounts = {row.transfer_id: row.amount for part in moved for row in part}
    assert sorted(amounts.values()) == [Decimal(n) for n in range(1, 31)]
    payments = {row.payment_id: row.amount for part in paid for row in part}
    assert len(payments) == 30
    due = -Decimal("0.5") * mark(venue, kit) * Decimal("0.0001")
    assert sum(payments.values()) == 30 * due


async def slices(read: Callable[..., Awaitable[Slice[Any]]], since: datetime) -> list[list[Any]]:
    """Read a history slice by slice to its end."""
    found, cursor = [], ""
    for _ in range(40):
        part = await read(since=since, cursor=cursor)
        found.append(list(part.rows))
        assert len(found[-1]) <= 24
        if not part.cursor:
            return found
        assert part.cursor != cursor
        cursor = part.cursor
    raise AssertionError("The history has no end.")


async def test_c08_what_the_venue_does_not_know_is_not_found(
    kit: Kit, client: ExecutionClient
) -> None:
    with pytest.raises(OrderNotFound):
        await client.order(kit.symbol, order(kit).client_order_id)


async def test_c09_a_strangers_key_is_an_authentication_failure(
    kit: Kit, venue: PaperVenue
) -> None:
    client = REGISTRY.execution_client(kit.dialect, venue.endpoint, kit.strangers)
    with pytest.raises(AuthenticationFailed):
        await client.submit(order(kit))
    assert venue.ledger.since(kind="order") == []
    await client.close()
