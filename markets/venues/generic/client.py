"""Any venue of ccxt's behind the venue ports: linear perpetuals, cross margin, one-way positions.

Amounts are base on our side and contracts on ccxt's; a price or amount that ccxt would round is
not sent. Nothing is repeated, and there is no stream: quotes are polled.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from markets.venues.checks import EPOCH, BadAnswer
from markets.venues.errors import (
    MissingCredential,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    VenueError,
    VenueUnavailable,
)
from markets.venues.generic import parsing
from markets.venues.generic.calls import Calls
from markets.venues.generic.exchange import make_exchange
from markets.venues.generic.facts import Lookup, venue_facts
from markets.venues.generic.margins import balance as read_balance
from markets.venues.generic.names import required_credentials
from markets.venues.generic.orders import Orders, terms
from markets.venues.generic.terms import Terms
from markets.venues.ratelimit.terms import Kind
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
    OrderType,
    PositionMode,
    PositionReport,
    Quarantined,
    Slice,
    StreamAddress,
    SubmitOrder,
    Transfer,
)


class GenericMarketClient:
    """Public data of one venue."""

    def __init__(self, endpoint: Endpoint, *, proxy_url: str | None = None) -> None:
        self._exchange = make_exchange(endpoint, Credentials(), proxy_url=proxy_url)
        self._facts = venue_facts(endpoint.ccxt_id)
        self._calls = Calls(self._exchange)

    async def instruments(self) -> Sequence[InstrumentReport]:
        """Read the listing anew: the linear perpetuals settled in the venue's usual asset."""
        return parsing.instruments(
            await self._calls.list_markets(),
            settle=self._facts.settlement_asset,
            mode=self._exchange.precisionMode,
        )

    async def book_tops(self, venue_symbols: Sequence[str]) -> Sequence[BookTop]:
        return [await self._book_top(symbol) for symbol in venue_symbols]

    async def _book_top(self, symbol: str) -> BookTop:
        asked: list[int] = []

        async def ask() -> Any:
            asked.append(self._calls.now_ms())
            return await self._exchange.fetch_order_book(symbol)

        return await self._calls.read(
            ask,
            lambda book: parsing.book_top(book, self._market(symbol), asked_ms=asked[0]),
        )

    async def funding_quotes(self) -> Sequence[FundingQuote]:
        if self._exchange.has["fetchFundingRates"] is not True:
            raise VenueUnavailable(f"ccxt lists no funding rates of {self._exchange.id}.")
        marks: Any = {}
        if self._exchange.has["fetchMarkPrices"] is True:
            marks = await self._calls.read(self._exchange.fetch_mark_prices, dict)
        return await self._calls.read(
            self._exchange.fetch_funding_rates,
            lambda rates: parsing.funding_quotes(
                rates, marks, self._exchange.markets, now_ms=self._calls.now_ms()
            ),
        )

    async def funding_settlements(
        self, venue_symbol: str, *, since: datetime
    ) -> Sequence[FundingSettlement]:
        """Return the settlements from `since` on, as far as the venue's page reaches."""
        if self._exchange.has["fetchFundingRateHistory"] is not True:
            raise VenueUnavailable(f"ccxt reads no funding history of {self._exchange.id}.")
        return await self._calls.read(
            partial(self._exchange.fetch_funding_rate_history, venue_symbol, _ms(since)),
            lambda rows: parsing.funding_settlements(rows, venue_symbol, since=since),
        )

    async def server_time(self) -> datetime:
        return await self._calls.server_time()

    async def close(self) -> None:
        await self._calls.close()

    def _market(self, symbol: str) -> parsing.Market:
        return parsing.market_of(self._exchange.markets, {"symbol": symbol})


class GenericExecutionClient:
    """One account. Which credentials it needs stands in the venue's class."""

    fills_at_once = False

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, *, proxy_url: str | None = None
    ) -> None:
        for name in required_credentials(endpoint.ccxt_id):
            if not getattr(credentials, name):
                raise MissingCredential(
                    f"{endpoint.ccxt_id} needs {name}.", details={"field": name}
                )
        self._exchange = make_exchange(endpoint, credentials, proxy_url=proxy_url)
        self._facts = venue_facts(endpoint.ccxt_id)
        self._calls = Calls(self._exchange)
        self._orders = Orders(self._exchange, self._facts, self._calls)
        self._terms = Terms(self._exchange, self._facts, self._calls)

    # Reading

    async def balance(self) -> BalanceReport:
        """Return the margin state; VenueUnavailable where only ccxt's bare totals are to be had."""
        kind = self._facts.margins
        if kind is None:
            raise VenueUnavailable(f"The margin state of {self._exchange.id} is not told by ccxt.")
        return await self._calls.read(
            self._exchange.fetch_balance,
            lambda said: read_balance(
                said, kind, asset=self._facts.settlement_asset, at=self._now()
            ),
        )

    async def positions(self) -> Sequence[PositionReport]:
        asked: list[datetime] = []

        async def ask() -> Any:
            # Dated before it is asked: whatever is later may or may not be in it.
            asked.append(self._now())
            return await self._exchange.fetch_positions()

        return await self._calls.read(
            ask, lambda rows: parsing.positions(rows, self._exchange.markets, at=asked[0])
        )

    async def open_orders(self) -> Sequence[OrderReport]:
        return await self._orders.open()

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        """Return the order, or raise OrderNotFound where the venue can prove that."""
        return await self._orders.find(venue_symbol, client_order_id)

    async def fills(self, venue_symbols: Sequence[str], *, since: datetime) -> Sequence[FillReport]:
        """Return all fills at or after `since`, contract by contract, oldest first."""
        return [it for symbol in venue_symbols for it in await self._fills(symbol, since)]

    async def _fills(self, venue_symbol: str, since: datetime) -> Sequence[FillReport]:
        """Return those of one contract.

        A venue's page may be the newest of a span, so a full page is asked for again in halves.
        Raises VenueUnavailable where a venue cannot bound a span and its page is full.
        """
        found: dict[str, FillReport] = {}
        span = self._facts.fills_span
        if span is None:
            page = await self._trades(venue_symbol, since, None)
            if len(page) >= self._facts.fills_page:
                raise VenueUnavailable("There may be more fills than the venue's page shows.")
            found = {item.trade_id: item for item in page}
        else:
            start, end = since, EPOCH + timedelta(milliseconds=self._calls.now_ms())
            while start <= end:
                stop = min(start + span - timedelta(milliseconds=1), end)
                for item in await self._span(venue_symbol, start, stop):
                    found[item.trade_id] = item
                start = stop + timedelta(milliseconds=1)
        return sorted(
            (item for item in found.values() if item.at >= since), key=lambda item: item.at
        )

    async def funding_payments(self, *, since: datetime, cursor: str = "") -> Slice[FundingPayment]:
        """Return the funding booked at or after `since`, as far as the venue's page reaches."""
        if self._exchange.has["fetchFundingHistory"] is not True:
            raise VenueUnavailable(f"ccxt reads no funding payments of {self._exchange.id}.")
        return await self._calls.read(
            partial(self._exchange.fetch_funding_history, None, _ms(since)),
            lambda rows: Slice(
                [
                    item
                    for item in parsing.funding_payments(rows, self._exchange.markets)
                    if item.at >= since
                ]
            ),
        )

    async def transfers(
        self, *, since: datetime, cursor: str = ""
    ) -> Slice[Transfer | Quarantined]:
        raise VenueUnavailable("The generic adapter reads no history of transfers.")

    # Acting

    async def submit(self, command: SubmitOrder) -> OrderReport:
        """Send an order once.

        Most venues only echo ids, so an accepted order is reported as open and unfilled unless
        more was told. An echo without our id is checked by looking the order up.
        """
        if command.amount <= 0:
            raise NotSent(f"An order of {command.amount} is none.")
        if command.type is not OrderType.MARKET and not (command.price and command.price > 0):
            raise NotSent(f"A {command.type.value} order needs a price.")
        params = {
            **terms(command),
            "clientOrderId": self._orders.sent_id(command.client_order_id),
        }
        said = await self._calls.act(
            lambda: self._exchange.create_order(
                command.venue_symbol,
                "market" if command.type is OrderType.MARKET else "limit",
                command.side.value,
                self._orders.size(command),
                self._orders.price(command),
                params,
            ),
            partial(self._orders.echoed, command=command),
            kind=Kind.URGENT if command.reduce_only else Kind.ORDER,
        )
        return said if said is not None else await self._confirmed(command)

    async def _confirmed(self, command: SubmitOrder) -> OrderReport:
        try:
            found = await self.order(command.venue_symbol, command.client_order_id)
            return self._orders.fits(found, command)
        except (VenueError, BadAnswer) as error:
            raise OutcomeUnknown(f"The venue did not name our order: {error}") from None

    async def cancel(self, command: CancelOrder) -> OrderReport:
        """Cancel an order and read it back; OrderNotFound may mean that it has been filled."""
        symbol, ours = command.venue_symbol, command.client_order_id
        venue_id, params = None, self._orders.by_id(ours)
        if self._facts.lookup is Lookup.SCAN:
            try:
                venue_id, params = (await self.order(symbol, ours)).venue_order_id, {}
            except VenueUnavailable as error:
                raise NotSent(f"Nothing was cancelled: {error.message}") from None
        await self._calls.act(
            partial(self._exchange.cancel_order, venue_id, symbol, params),
            lambda _said: None,
            kind=Kind.URGENT,
        )
        try:
            return await self.order(symbol, ours)
        except VenueError as error:
            raise OutcomeUnknown(f"The cancelled order is not to be read: {error}") from None

    async def cancel_all(self, venue_symbol: str) -> None:
        """Cancel a contract's open orders; where the venue has no one call for that, in turn."""
        if self._exchange.has["cancelAllOrders"] is True:
            await self._calls.act(
                partial(self._exchange.cancel_all_orders, venue_symbol),
                lambda _said: None,
                kind=Kind.URGENT,
            )
            return
        try:
            found = await self.open_orders()
        except VenueError as error:
            raise NotSent(f"What is open is not known: {error.message}") from None
        troubles = [
            trouble
            for report in found
            if report.venue_symbol == venue_symbol
            and (trouble := await self._cancel_one(report)) is not None
        ]
        if troubles:
            raise troubles[0]

    async def _cancel_one(self, report: OrderReport) -> VenueError | None:
        """Cancel an order by the venue's id, for it may not be ours; return what went wrong."""
        cancel = partial(self._exchange.cancel_order, report.venue_order_id, report.venue_symbol)
        try:
            await self._calls.act(cancel, lambda _said: None, kind=Kind.URGENT)
        except OrderNotFound:
            return None  # it is not open any more
        except VenueError as error:
            return error
        return None

    # Terms and safety

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        await self._terms.set_leverage(venue_symbol, leverage)

    async def margin_terms(self, venue_symbol: str) -> MarginTerms:
        return await self._terms.read(venue_symbol)

    async def set_margin_mode(self, venue_symbol: str, mode: MarginMode) -> None:
        await self._terms.set_margin_mode(venue_symbol, mode)

    async def position_mode(self) -> PositionMode:
        return await self._terms.position_mode()

    async def set_one_way(self) -> None:
        await self._terms.set_one_way()

    async def set_dead_man_timer(self, venue_symbol: str, after: timedelta) -> None:
        """Set the account's one timer, which covers every contract."""
        await self._terms.set_timer(after)

    async def open_private_stream(self) -> StreamAddress:
        raise VenueUnavailable("The generic adapter has no private stream; accounts are synced.")

    async def keep_private_stream(self) -> None:
        raise VenueUnavailable("The generic adapter has no private stream.")

    async def confirm_private_stream(self, address: StreamAddress) -> None:
        raise VenueUnavailable("The generic adapter has no private stream.")

    async def close(self) -> None:
        await self._calls.close()

    def _now(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self._calls.now_ms())

    async def _span(
        self, venue_symbol: str, start: datetime, stop: datetime
    ) -> Sequence[FillReport]:
        """Return the fills from `start` to `stop`, both included, in any order."""
        page = await self._trades(venue_symbol, start, stop)
        if len(page) < self._facts.fills_page:
            return page
        half = start + (stop - start) // 2
        half -= timedelta(microseconds=half.microsecond % 1000)
        if half >= stop or half < start:
            raise VenueUnavailable("More fills in a millisecond than the venue's page shows.")
        after = half + timedelta(milliseconds=1)
        return [
            *await self._span(venue_symbol, start, half),
            *await self._span(venue_symbol, after, stop),
        ]

    async def _trades(
        self, venue_symbol: str, since: datetime, until: datetime | None
    ) -> Sequence[FillReport]:
        bounds = {} if until is None else {"until": _ms(until)}
        page = None if until is None else self._facts.fills_page
        return await self._calls.read(
            partial(self._exchange.fetch_my_trades, venue_symbol, _ms(since), page, bounds),
            lambda rows: [self._fill(row, venue_symbol) for row in parsing.listed(rows)],
        )

    def _fill(self, row: Any, venue_symbol: str) -> FillReport:
        market = parsing.market_of(self._exchange.markets, {"symbol": venue_symbol})
        ours = self._orders.our_id(row.get("clientOrderId"))
        return parsing.fill(row, market, client_order_id=ours)


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
