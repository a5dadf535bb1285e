"""Pacifica over HTTP: reads need no key, orders are signed, an acceptance is not a fill."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar

from controlplane.kernel.ids import intent_id_of, uuid7_time
from controlplane.kernel.units import BaseAmount, plain
from markets.venues.caller import Caller, Result
from markets.venues.checks import EPOCH, BadAnswer, decode, ms_text
from markets.venues.commands import whole_leverage
from markets.venues.errors import (
    NotOffered,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    VenueError,
    VenueUnavailable,
)
from markets.venues.lines import told
from markets.venues.moments import check_time
from markets.venues.pacifica import facts, ids, parsing, wire
from markets.venues.pacifica.api import Operation, PacificaApi, identity
from markets.venues.pacifica.parsing import Page
from markets.venues.pacifica.streams import private_frames
from markets.venues.shared import MAX_ANSWER, MAX_LISTING
from markets.venues.types import (
    BalanceReport,
    BookTop,
    CancelOrder,
    Credentials,
    Endpoint,
    FillReport,
    FundingPayment,
    FundingQuote,
    FundingSettlement,
    InstrumentReport,
    MarginMode,
    MarginTerms,
    OrderReport,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionReport,
    Quarantined,
    Side,
    Slice,
    StreamAddress,
    SubmitOrder,
    Transfer,
)

PAGE: Final = 100
MOST_PAGES: Final = 200
FUNDING_PAGES: Final = 20
"""Of the funding history at a time: 20 of the 100 credits that an address has in a minute."""
LEDGER_PAGES: Final = 3
"""Of the balance history at a time: 36 credits."""
LONGEST_CURSOR: Final = 500
"""A venue's place in a history is a few dozen characters; what is far longer is none."""
CLOCK_SLACK: Final = timedelta(minutes=5)
"""How much older than its own id an order may be dated, and be looked for."""
_TIME_IN_FORCE: Final = {OrderType.LIMIT: "GTC", OrderType.POST_ONLY: "ALO", OrderType.IOC: "IOC"}
_SIDES: Final = {Side.BUY: "bid", Side.SELL: "ask"}

Row = TypeVar("Row")
ReadPage = Callable[[Mapping[str, str], Callable[[bytes], Page[Row]]], Awaitable[Page[Row]]]


class PacificaMarketClient:
    """Public data of one endpoint."""

    def __init__(self, endpoint: Endpoint, *, proxy_url: str | None = None) -> None:
        self._caller = Caller(PacificaApi(endpoint, proxy_url, MAX_LISTING))

    async def instruments(self) -> Sequence[InstrumentReport]:
        return await self._caller.read(Operation.INFO, {}, parsing.instruments)

    async def book_tops(self, venue_symbols: Sequence[str]) -> Sequence[BookTop]:
        return [
            await self._caller.read(
                Operation.BOOK,
                {"symbol": symbol, "agg_level": "1"},
                partial(parsing.book_top, symbol=symbol),
            )
            for symbol in venue_symbols
        ]

    async def funding_quotes(self) -> Sequence[FundingQuote]:
        return await self._caller.read(Operation.PRICES, {}, parsing.funding_quotes)

    async def funding_settlements(
        self, venue_symbol: str, *, since: datetime
    ) -> Sequence[FundingSettlement]:
        """Return the settlements from `since` on, read from the newest back."""
        rows = await _pages(
            partial(self._caller.read, Operation.FUNDING_RATES),
            partial(parsing.funding_settlements, venue_symbol=venue_symbol),
            lambda row: row.at >= since,
            {"symbol": venue_symbol},
        )
        return _oldest_first(rows, lambda row: row.at.isoformat(), lambda row: row.at >= since)

    async def server_time(self) -> datetime:
        return await self._caller.server_time()

    async def close(self) -> None:
        await self._caller.close()


class PacificaExecutionClient:
    """One account. Needs `public_key` (its address) and `agent_key` (its own or an agent's).

    `api_key`, when given, is a config key: it raises the venue's limits and signs nothing.
    """

    fills_at_once = True

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, *, proxy_url: str | None = None
    ) -> None:
        who = identity(credentials)
        self._account = who.account
        self._websocket = endpoint.websocket
        self._caller = Caller(PacificaApi(endpoint, proxy_url, MAX_ANSWER, who))

    # Reading

    async def balance(self) -> BalanceReport:
        return await self._caller.read_dated(
            Operation.ACCOUNT, self._asked(), lambda body, at: parsing.balance(body, at=at)
        )

    async def positions(self) -> Sequence[PositionReport]:
        return await self._caller.read_dated(
            Operation.POSITIONS, self._asked(), lambda body, at: parsing.positions(body, at=at)
        )

    async def open_orders(self) -> Sequence[OrderReport]:
        return await self._read(Operation.ORDERS, parsing.open_orders)

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        """Return the order, found by its UUID among the open ones or in the history.

        The venue finds an order by its own id only, and says `open` of one it does not know.
        """
        for report in await self.open_orders():
            if report.client_order_id == client_order_id and report.venue_symbol == venue_symbol:
                return report
        asked = ids.to_venue(client_order_id)
        intent_id = intent_id_of(client_order_id)
        oldest = uuid7_time(intent_id) - CLOCK_SLACK if intent_id is not None else EPOCH
        rows = await self._history(
            Operation.ORDER_HISTORY,
            parsing.past_orders,
            lambda row: row.client_order_id != asked and row.created_at >= _ms(oldest),
        )
        for row in rows:
            if row.client_order_id == asked and row.symbol == venue_symbol:
                try:
                    return check_time(parsing.past_order(row), now_ms=self._caller.now_ms())
                except BadAnswer as error:
                    raise VenueUnavailable(str(error)) from None
        raise OrderNotFound("unknown", "Neither an open nor a past order has this id.")

    async def fills(self, venue_symbols: Sequence[str], *, since: datetime) -> Sequence[FillReport]:
        """Return all fills at or after `since`, oldest first.

        Several contracts' come of one request for all: the symbol may be left out (ccxt 4.5.90's
        `fetch_my_trades`).
        """
        wanted = frozenset(venue_symbols)
        only = {"symbol": venue_symbols[0]} if len(wanted) == 1 else {}
        rows = await self._history(
            Operation.TRADES,
            partial(parsing.fills, venue_symbol=only.get("symbol")),
            lambda row: row.at >= since,
            start_time=ms_text(since),
            **only,
        )
        return _oldest_first(
            rows,
            lambda row: row.trade_id,
            lambda row: row.at >= since and row.venue_symbol in wanted,
        )

    async def funding_payments(self, *, since: datetime, cursor: str = "") -> Slice[FundingPayment]:
        """Return the funding booked at or after `since`; the newest slice comes first."""
        part = await _slice(
            partial(self._caller.read, Operation.FUNDING),
            parsing.payments,
            lambda row: row.at >= since,
            self._asked(cursor),
            FUNDING_PAGES,
        )
        rows = _oldest_first(part.rows, lambda row: row.payment_id, lambda row: row.at >= since)
        return Slice(rows, part.cursor)

    async def transfers(
        self, *, since: datetime, cursor: str = ""
    ) -> Slice[Transfer | Quarantined]:
        """Return what moved the balance beside trades, fees and funding (12 credits a page).

        The newest slice comes first.
        """
        part = await _slice(
            partial(self._caller.read, Operation.BALANCE_HISTORY),
            partial(parsing.balance_events, now_ms=self._caller.now_ms()),
            lambda line: line.dated is None or line.dated >= since,
            self._asked(cursor),
            LEDGER_PAGES,
        )
        return Slice(told(reversed(part.rows), since=since), part.cursor)

    # Acting

    async def submit(self, command: SubmitOrder) -> OrderReport:
        """Send an order once. What comes back is its acceptance: it is open, and nothing filled."""
        operation, payload = order_payload(command)
        at = await self._caller.sending_time()
        order_id = await self._caller.act(operation, payload, parsing.accepted)
        return OrderReport(
            venue_symbol=command.venue_symbol,
            venue_order_id=order_id,
            client_order_id=command.client_order_id,
            side=command.side,
            status=OrderStatus.OPEN,
            amount=command.amount,
            filled=BaseAmount(Decimal(0)),
            price=command.price,
            average_price=None,
            reduce_only=command.reduce_only,
            at=at,
        )

    async def cancel(self, command: CancelOrder) -> OrderReport:
        """Cancel an order and read it back; OrderNotFound may mean that it has been filled."""
        payload = {
            "symbol": command.venue_symbol,
            "client_order_id": ids.to_venue(command.client_order_id),
        }
        await self._caller.act(Operation.CANCEL, payload, _confirmed)
        try:
            return await self.order(command.venue_symbol, command.client_order_id)
        except VenueError as error:
            raise OutcomeUnknown(f"The cancel was taken, the order not read: {error}") from None

    async def cancel_all(self, venue_symbol: str) -> None:
        payload = {"symbol": venue_symbol, "all_symbols": False, "exclude_reduce_only": False}
        await self._caller.act(
            Operation.CANCEL_ALL,
            payload,
            lambda body: decode(body, wire.Envelope[wire.Cancelled]),
        )

    # Terms and safety

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        payload = {"symbol": venue_symbol, "leverage": whole_leverage(leverage)}
        await self._caller.act(Operation.LEVERAGE, payload, _confirmed)

    async def margin_terms(self, venue_symbol: str) -> MarginTerms:
        told = await self._read(
            Operation.SETTINGS, partial(parsing.margin_terms, venue_symbol=venue_symbol)
        )
        if told is not None:
            return told
        return await self._caller.read(
            Operation.INFO, {}, partial(parsing.default_terms, venue_symbol=venue_symbol)
        )

    async def set_margin_mode(self, venue_symbol: str, mode: MarginMode) -> None:
        """Set the mode; VenueRejected (12) while the contract has a position."""
        payload = {"symbol": venue_symbol, "is_isolated": mode is MarginMode.ISOLATED}
        await self._caller.act(Operation.MARGIN_MODE, payload, _confirmed)

    async def position_mode(self) -> PositionMode:
        """Return the only mode the venue has."""
        return PositionMode.ONE_WAY

    async def set_one_way(self) -> None:
        """Do nothing: no other mode exists."""

    async def set_dead_man_timer(self, venue_symbol: str, after: timedelta) -> None:
        raise NotOffered("Pacifica has no dead-man timer: our own watch is all that cancels.")

    # Private stream

    async def open_private_stream(self) -> StreamAddress:
        """Return the socket and the account's channels, which ask for no key."""
        return StreamAddress(
            f"{self._websocket}/ws", private_frames(self._account), facts.HEARTBEAT
        )

    async def keep_private_stream(self) -> None:
        """Do nothing: the heartbeat keeps it."""

    async def confirm_private_stream(self, address: StreamAddress) -> None:
        """Do nothing: the channels are acknowledged, and good ones alone are."""

    async def close(self) -> None:
        await self._caller.close()

    async def _read(
        self, operation: Operation, parse: Callable[[bytes], Result], **params: str
    ) -> Result:
        return await self._caller.read(operation, self._asked() | params, parse)

    async def _history(
        self,
        operation: Operation,
        parse: Callable[[bytes], Page[Row]],
        goes_on: Callable[[Row], bool],
        **params: str,
    ) -> Sequence[Row]:
        asked = self._asked() | params
        return await _pages(partial(self._caller.read, operation), parse, goes_on, asked)

    def _asked(self, cursor: str = "") -> dict[str, str]:
        """Return what the account's data, or a slice of its history, is asked for with."""
        return {"account": self._account} | ({"cursor": cursor} if cursor else {})


async def _pages(
    read: ReadPage[Row],
    parse: Callable[[bytes], Page[Row]],
    goes_on: Callable[[Row], bool],
    params: Mapping[str, str],
) -> Sequence[Row]:
    """Read pages, newest first, until one holds a row for which `goes_on` is false.

    Raises VenueUnavailable where the end cannot be reached: a history cut short is none.
    """
    whole = await _slice(read, parse, goes_on, params, MOST_PAGES)
    if whole.cursor:
        raise VenueUnavailable(f"A history has no end within {MOST_PAGES} pages of {PAGE}.")
    return whole.rows


async def _slice(
    read: ReadPage[Row],
    parse: Callable[[bytes], Page[Row]],
    goes_on: Callable[[Row], bool],
    params: Mapping[str, str],
    most: int,
) -> Slice[Row]:
    """Read at most `most` pages, likewise, and return where the next one would begin.

    Raises VenueUnavailable where a page leads on to itself.
    """
    found: list[Row] = []
    asked = {**params, "limit": str(PAGE)}
    for _ in range(most):
        page = await read(asked, parse)
        found += page.rows
        if page.cursor is None or not all(goes_on(row) for row in page.rows):
            return Slice(found)
        if page.cursor == asked.get("cursor") or len(page.cursor) > LONGEST_CURSOR:
            raise VenueUnavailable("A history leads nowhere: its cursor does not move on.")
        asked["cursor"] = page.cursor
    return Slice(found, asked["cursor"])


def order_payload(command: SubmitOrder) -> tuple[Operation, dict[str, Any]]:
    """Return what an order is sent as, in our own strings; raises NotSent for what is no order."""
    if command.amount <= 0:
        raise NotSent(f"An order of {command.amount} is none.")
    payload: dict[str, Any] = {
        "symbol": command.venue_symbol,
        "side": _SIDES[command.side],
        "amount": plain(command.amount),
        "reduce_only": command.reduce_only,
        "client_order_id": ids.to_venue(command.client_order_id),
    }
    if command.type is OrderType.MARKET:
        return Operation.CREATE_MARKET, {
            **payload,
            "slippage_percent": facts.MARKET_SLIPPAGE_PERCENT,
        }
    if command.price is None or command.price <= 0:
        raise NotSent(f"A {command.type.value} order needs a price.")
    return Operation.CREATE, {
        **payload,
        "price": plain(command.price),
        "tif": _TIME_IN_FORCE[command.type],
    }


def _confirmed(body: bytes) -> None:
    decode(body, wire.Envelope[Any])


def _oldest_first(
    rows: Sequence[Row], key: Callable[[Row], str], wanted: Callable[[Row], bool]
) -> list[Row]:
    """Return the wanted rows of a history that came newest first, each once."""
    unique = {key(row): row for row in rows if wanted(row)}
    return list(reversed(unique.values()))


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
