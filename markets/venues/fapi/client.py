"""The /fapi venues over HTTP: we send our own strings and believe only evidence."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

from controlplane.kernel.units import plain
from markets.venues.caller import Api, Caller, Result
from markets.venues.checks import EPOCH, decode, ms_text
from markets.venues.commands import timer_ms, whole_leverage
from markets.venues.errors import AlreadySo, NotSent, VenueRejected, VenueUnavailable
from markets.venues.fapi import limits, parsing
from markets.venues.fapi.operations import Operation
from markets.venues.fapi.parsing import Fees
from markets.venues.fapi.wire import MARGIN_TYPES, ListenKey
from markets.venues.lines import told
from markets.venues.types import (
    BalanceReport,
    BookTop,
    CancelOrder,
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

PAGE: Final = 1000
SLICE_PAGES: Final = 10
"""Of an income history at a time: 10,000 rows, an eighth of a minute's weight, within seconds."""
TRADES_SPAN: Final = timedelta(days=7)
"""The longest span one userTrades query covers (vendor documentation)."""
FEW_SYMBOLS: Final = 2
"""Up to here single bookTicker queries (weight 2) cost no more than the one for all (weight 5)."""
_TIME_IN_FORCE: Final[Mapping[OrderType, str]] = {
    OrderType.LIMIT: "GTC",
    OrderType.POST_ONLY: "GTX",
    OrderType.IOC: "IOC",
}


Row = TypeVar("Row")


class FapiMarketClient:
    """Public data of one endpoint."""

    def __init__(self, api: Api[Operation], *, fees: Fees) -> None:
        self._caller = Caller(api)
        self._gate = api.gate
        self._fees = fees

    async def instruments(self) -> Sequence[InstrumentReport]:
        """Read the listing, and with it the venue's own limits."""

        def learned(body: bytes) -> Sequence[InstrumentReport]:
            self._gate.learn(limits.listed(body))
            return parsing.instruments(body, fees=self._fees)

        return await self._read(Operation.INSTRUMENTS, learned)

    async def book_tops(self, venue_symbols: Sequence[str]) -> Sequence[BookTop]:
        if len(venue_symbols) > FEW_SYMBOLS:
            return await self._read(
                Operation.BOOK_TOP, partial(parsing.book_tops, wanted=venue_symbols)
            )
        return [
            await self._read(
                Operation.BOOK_TOP, partial(parsing.book_top, symbol=symbol), symbol=symbol
            )
            for symbol in venue_symbols
        ]

    async def funding_quotes(self) -> Sequence[FundingQuote]:
        info = await self._read(Operation.FUNDING_INFO, bytes)
        return await self._read(Operation.PREMIUM, lambda body: parsing.funding_quotes(body, info))

    async def funding_settlements(
        self, venue_symbol: str, *, since: datetime
    ) -> Sequence[FundingSettlement]:
        """Return the settlements from `since` on; a full page is followed by the next."""
        found: dict[datetime, FundingSettlement] = {}
        start = since
        while True:
            page = await self._read(
                Operation.FUNDING_RATES,
                partial(parsing.funding_settlements, venue_symbol=venue_symbol),
                symbol=venue_symbol,
                startTime=ms_text(start),
                limit=str(PAGE),
            )
            before = len(found)
            found |= {item.at: item for item in page if item.at >= since}
            if len(page) < PAGE or len(found) == before:
                return [found[at] for at in sorted(found)]
            start = max(found)

    async def server_time(self) -> datetime:
        return await self._caller.server_time()

    async def close(self) -> None:
        await self._caller.close()

    async def _read(
        self, operation: Operation, parse: Callable[[bytes], Result], **params: str
    ) -> Result:
        return await self._caller.read(operation, params, parse)


class FapiExecutionClient:
    """One cross-margin, one-way account.

    `stream_base` is the address that a listen key is put behind to open the user stream.
    """

    fills_at_once = False

    def __init__(self, api: Api[Operation], *, asset: str, stream_base: str) -> None:
        self._caller = Caller(api)
        self._asset = asset
        self._stream_base = stream_base

    # Reading

    async def balance(self) -> BalanceReport:
        return await self._caller.read_dated(
            Operation.ACCOUNT,
            {},
            lambda body, at: parsing.balance(body, asset=self._asset, at=at),
        )

    async def positions(self) -> Sequence[PositionReport]:
        return await self._caller.read_dated(
            Operation.POSITIONS, {}, lambda body, at: parsing.positions(body, at=at)
        )

    async def open_orders(self) -> Sequence[OrderReport]:
        return await self._read(Operation.OPEN_ORDERS, parsing.orders)

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        return await self._read(
            Operation.ORDER,
            lambda body: parsing.order(
                body, venue_symbol=venue_symbol, client_order_id=client_order_id
            ),
            symbol=venue_symbol,
            origClientOrderId=client_order_id,
        )

    async def fills(self, venue_symbols: Sequence[str], *, since: datetime) -> Sequence[FillReport]:
        """Return all fills at or after `since`, contract by contract, oldest first."""
        return [it for symbol in venue_symbols for it in await self._fills(symbol, since)]

    async def _fills(self, venue_symbol: str, since: datetime) -> Sequence[FillReport]:
        """Return all fills at or after `since`, oldest first.

        The first page is found by time, span by span; the rest follow by trade id, which no
        two trades of one millisecond can confuse.
        """
        found: list[FillReport] = []
        start, now = since, await self._caller.venue_now()
        while not found and start <= now:
            page = await self._trades(
                venue_symbol,
                startTime=ms_text(start),
                endTime=ms_text(start + TRADES_SPAN - timedelta(milliseconds=1)),
            )
            found += page
            start += TRADES_SPAN
        while found:
            page = await self._trades(venue_symbol, fromId=str(int(found[-1].trade_id) + 1))
            found += page
            if len(page) < PAGE:
                break
        return found

    async def funding_payments(self, *, since: datetime, cursor: str = "") -> Slice[FundingPayment]:
        """Return the funding booked at or after `since`, oldest first, each once a slice."""
        part = await self._income(
            _begins(since, cursor),
            parsing.funding_payments,
            lambda row: row.at,
            incomeType="FUNDING_FEE",
        )
        rows = {(row.venue_symbol, row.payment_id): row for row in part.rows}
        return Slice(list(rows.values()), part.cursor)

    async def transfers(
        self, *, since: datetime, cursor: str = ""
    ) -> Slice[Transfer | Quarantined]:
        """Return what moved the wallet beside trades, fees and funding, of whatever type.

        All types are asked for at once: one query (weight 30) instead of one a type.
        """
        parse = partial(parsing.ledger, now_ms=self._caller.now_ms())
        part = await self._income(_begins(since, cursor), parse, lambda line: line.dated)
        return Slice(told(part.rows, since=since), part.cursor)

    async def _income(
        self,
        since: datetime,
        parse: Callable[[bytes], Sequence[Row]],
        dated: Callable[[Row], datetime | None],
        **params: str,
    ) -> Slice[Row]:
        """Return a slice of the income history from `since` on, oldest first; rows may come twice.

        A full page is followed by one that starts with its newest millisecond, in the next slice
        where this one is at its bound. Raises VenueUnavailable where no page goes on.
        """
        found: list[Row] = []
        start = since
        for _ in range(SLICE_PAGES):
            page = await self._read(
                Operation.INCOME, parse, startTime=ms_text(start), limit=str(PAGE), **params
            )
            found += page
            if len(page) < PAGE:
                return Slice(found)
            newest = max((at for row in page if (at := dated(row)) is not None), default=start)
            if newest <= start:
                raise VenueUnavailable(f"One moment's income is more than a page of {PAGE} tells.")
            start = newest
        return Slice(found, ms_text(start))

    # Acting

    async def submit(self, command: SubmitOrder) -> OrderReport:
        params = order_params(command)
        return await self._caller.act(
            Operation.PLACE,
            params,
            lambda body: parsing.acknowledged(body, command),
        )

    async def cancel(self, command: CancelOrder) -> OrderReport:
        """Cancel an order; OrderNotFound may mean that it has been filled."""
        return await self._caller.act(
            Operation.CANCEL,
            {"symbol": command.venue_symbol, "origClientOrderId": command.client_order_id},
            lambda body: parsing.order(
                body,
                venue_symbol=command.venue_symbol,
                client_order_id=command.client_order_id,
            ),
        )

    async def cancel_all(self, venue_symbol: str) -> None:
        await self._caller.act(Operation.CANCEL_ALL, {"symbol": venue_symbol}, parsing.done)

    # Terms and safety

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        whole = whole_leverage(leverage)
        await self._caller.act(
            Operation.LEVERAGE,
            {"symbol": venue_symbol, "leverage": str(whole)},
            partial(parsing.leverage_set, venue_symbol=venue_symbol, leverage=whole),
        )

    async def margin_terms(self, venue_symbol: str) -> MarginTerms:
        return await self._read(
            Operation.MARGIN_TERMS,
            partial(parsing.margin_terms, venue_symbol=venue_symbol),
            symbol=venue_symbol,
        )

    async def set_margin_mode(self, venue_symbol: str, mode: MarginMode) -> None:
        params = {"symbol": venue_symbol, "marginType": MARGIN_TYPES[mode]}
        with suppress(AlreadySo):
            await self._caller.act(Operation.SET_MARGIN_MODE, params, parsing.done)

    async def position_mode(self) -> PositionMode:
        return await self._read(Operation.POSITION_MODE, parsing.position_mode)

    async def set_one_way(self) -> None:
        with suppress(AlreadySo):
            await self._caller.act(
                Operation.SET_POSITION_MODE, {"dualSidePosition": "false"}, parsing.done
            )

    async def set_dead_man_timer(self, venue_symbol: str, after: timedelta) -> None:
        """Arm the contract's countdown (weight 10)."""
        milliseconds = timer_ms(after)
        await self._caller.act(
            Operation.DEAD_MAN_TIMER,
            {"symbol": venue_symbol, "countdownTime": str(milliseconds)},
            partial(parsing.timer_set, venue_symbol=venue_symbol, milliseconds=milliseconds),
        )

    # Private stream

    async def open_private_stream(self) -> StreamAddress:
        """Return the user stream's address; the listen key in it opens the account's stream."""
        key = await self._read(
            Operation.OPEN_STREAM, lambda body: decode(body, ListenKey).listenKey
        )
        if not key.isascii() or not key.isalnum():
            raise VenueUnavailable("The venue gave no usable listen key.")
        return StreamAddress(f"{self._stream_base}{key}")

    async def keep_private_stream(self) -> None:
        """Prolong the listen key by 60 minutes; VenueRejected (-1125) when it is gone."""
        await self._caller.act(Operation.KEEP_STREAM, {}, bytes)

    async def confirm_private_stream(self, address: StreamAddress) -> None:
        """Have the venue name the account's listen key, which prolongs it too.

        VenueRejected when that is another than the address's: ours was deleted meanwhile.
        """
        if (await self.open_private_stream()).url != address.url:
            raise VenueRejected("listen-key", "The listen key was replaced by another one.")

    async def close(self) -> None:
        await self._caller.close()

    async def _trades(self, venue_symbol: str, **params: str) -> Sequence[FillReport]:
        return await self._read(
            Operation.TRADES,
            lambda body: parsing.fills(body, venue_symbol=venue_symbol),
            symbol=venue_symbol,
            limit=str(PAGE),
            **params,
        )

    async def _read(
        self, operation: Operation, parse: Callable[[bytes], Result], **params: str
    ) -> Result:
        return await self._caller.read(operation, params, parse)


def _begins(since: datetime, cursor: str) -> datetime:
    """Return where a slice of income begins: a cursor is the millisecond it goes on with."""
    return EPOCH + timedelta(milliseconds=int(cursor)) if cursor else since


def order_params(command: SubmitOrder) -> dict[str, str]:
    """Return the exact strings an order goes out with; raises NotSent for what is no order."""
    if command.amount <= 0:
        raise NotSent(f"An order of {command.amount} is none.")
    params = {
        "symbol": command.venue_symbol,
        "side": command.side.value.upper(),
        "type": "MARKET" if command.type is OrderType.MARKET else "LIMIT",
        "quantity": plain(command.amount),
        "newClientOrderId": command.client_order_id,
        "newOrderRespType": "RESULT",
    }
    if command.type is not OrderType.MARKET:
        if command.price is None or command.price <= 0:
            raise NotSent(f"A {command.type.value} order needs a price.")
        params["price"] = plain(command.price)
        params["timeInForce"] = _TIME_IN_FORCE[command.type]
    if command.reduce_only:
        params["reduceOnly"] = "true"
    return params
