"""Binance USDⓈ-M over HTTP: ccxt signs, we send our own strings and believe only evidence."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

from markets.venues.binance import parsing
from markets.venues.binance.api import Caller, Method, Result, make_api
from markets.venues.binance.wire import (
    EPOCH,
    SETTLEMENT_ASSET,
    BadAnswer,
    Done,
    LeverageRow,
    ListenKey,
    decode,
)
from markets.venues.errors import (
    MissingCredential,
    NotSent,
    OutcomeUnknown,
    VenueError,
    VenueUnavailable,
)
from markets.venues.shared import (
    MAX_ANSWER,
    MAX_LISTING,
)
from markets.venues.types import (
    BalanceReport,
    BookTop,
    CancelOrder,
    Credentials,
    Endpoint,
    FillReport,
    FundingPayment,
    FundingQuote,
    InstrumentReport,
    OrderReport,
    OrderType,
    PositionReport,
    SubmitOrder,
)

PAGE: Final = 1000
TRADES_SPAN: Final = timedelta(days=7)
"""The longest span one userTrades query covers (vendor documentation)."""
FEW_SYMBOLS: Final = 2
"""Up to here single bookTicker queries (weight 2) cost no more than the one for all (weight 5)."""
_TIME_IN_FORCE: Final[Mapping[OrderType, str]] = {
    OrderType.LIMIT: "GTC",
    OrderType.POST_ONLY: "GTX",
    OrderType.IOC: "IOC",
}


class BinanceMarketClient:
    """Public data of one endpoint."""

    def __init__(self, endpoint: Endpoint, *, proxy_url: str | None = None) -> None:
        self._api = make_api(endpoint, proxy_url, MAX_LISTING, Credentials())
        self._caller = Caller(self._api)

    async def instruments(self) -> Sequence[InstrumentReport]:
        return await self._read(self._api.fapiPublicGetExchangeInfo, parsing.instruments)

    async def book_tops(self, venue_symbols: Sequence[str]) -> Sequence[BookTop]:
        method = self._api.fapiPublicGetTickerBookTicker
        if len(venue_symbols) > FEW_SYMBOLS:
            return await self._read(
                method, lambda body: parsing.book_tops(body, wanted=venue_symbols)
            )
        return [
            await self._read(method, partial(parsing.book_top, symbol=symbol), symbol=symbol)
            for symbol in venue_symbols
        ]

    async def funding_quotes(self) -> Sequence[FundingQuote]:
        info = await self._read(self._api.fapiPublicGetFundingInfo, bytes)
        return await self._read(
            self._api.fapiPublicGetPremiumIndex, lambda body: parsing.funding_quotes(body, info)
        )

    async def server_time(self) -> datetime:
        ms = await self._read(self._api.fapiPublicGetTime, parsing.server_ms)
        return EPOCH + timedelta(milliseconds=ms)

    async def close(self) -> None:
        await self._caller.close()

    async def _read(
        self, method: Method, parse: Callable[[bytes], Result], **params: str
    ) -> Result:
        return await self._caller.read(method, params, parse, signed=False)


class BinanceExecutionClient:
    """One cross-margin, one-way account. Needs `api_key` and `api_secret`."""

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, *, proxy_url: str | None = None
    ) -> None:
        if not credentials.api_key or not credentials.api_secret:
            raise MissingCredential("Binance needs an API key and its secret.")
        self._endpoint = endpoint
        self._api = make_api(endpoint, proxy_url, MAX_ANSWER, credentials)
        self._caller = Caller(self._api)

    # Reading

    async def balance(self) -> BalanceReport:
        # Dated before it is asked: whatever is later may or may not be in it.
        at = await self._caller.venue_now()
        return await self._read(
            self._api.fapiPrivateV3GetAccount,
            lambda body: parsing.balance(body, asset=SETTLEMENT_ASSET, at=at),
        )

    async def positions(self) -> Sequence[PositionReport]:
        at = await self._caller.venue_now()
        return await self._read(
            self._api.fapiPrivateV3GetPositionRisk,
            lambda body: parsing.positions(body, at=at),
        )

    async def open_orders(self) -> Sequence[OrderReport]:
        return await self._read(self._api.fapiPrivateGetOpenOrders, parsing.orders)

    async def order(self, venue_symbol: str, client_order_id: str) -> OrderReport:
        return await self._read(
            self._api.fapiPrivateGetOrder,
            lambda body: parsing.order(
                body, venue_symbol=venue_symbol, client_order_id=client_order_id
            ),
            symbol=venue_symbol,
            origClientOrderId=client_order_id,
        )

    async def fills(self, venue_symbol: str, *, since: datetime) -> Sequence[FillReport]:
        """Return all fills at or after `since`, oldest first.

        The first page is found by time, span by span; the rest follow by trade id, which no
        two trades of one millisecond can confuse.
        """
        found: list[FillReport] = []
        start, now = since, await self._caller.venue_now()
        while not found and start <= now:
            page = await self._trades(
                venue_symbol,
                startTime=_ms_text(start),
                endTime=_ms_text(start + TRADES_SPAN - timedelta(milliseconds=1)),
            )
            found += page
            start += TRADES_SPAN
        while found:
            page = await self._trades(venue_symbol, fromId=str(int(found[-1].trade_id) + 1))
            found += page
            if len(page) < PAGE:
                break
        return found

    async def funding_payments(self, *, since: datetime) -> Sequence[FundingPayment]:
        """Return the funding booked at or after `since`, oldest first, each once."""
        found: dict[tuple[str, str], FundingPayment] = {}
        start = since
        while True:
            page = await self._read(
                self._api.fapiPrivateGetIncome,
                parsing.funding_payments,
                incomeType="FUNDING_FEE",
                startTime=_ms_text(start),
                limit=str(PAGE),
            )
            before = len(found)
            found |= {(item.venue_symbol, item.payment_id): item for item in page}
            if len(page) < PAGE or len(found) == before:
                return list(found.values())
            start = page[-1].at

    # Acting

    async def submit(self, command: SubmitOrder) -> OrderReport:
        params = order_params(command)
        return await self._act(
            self._api.fapiPrivatePostOrder,
            params,
            lambda body: parsing.acknowledged(body, command),
        )

    async def cancel(self, command: CancelOrder) -> OrderReport:
        """Cancel an order; OrderNotFound may mean that it has been filled."""
        return await self._act(
            self._api.fapiPrivateDeleteOrder,
            {"symbol": command.venue_symbol, "origClientOrderId": command.client_order_id},
            lambda body: parsing.order(
                body,
                venue_symbol=command.venue_symbol,
                client_order_id=command.client_order_id,
            ),
        )

    async def cancel_all(self, venue_symbol: str) -> None:
        def confirmed(body: bytes) -> None:
            if decode(body, Done).code != 200:
                raise BadAnswer("malformed", "cancel-all was not confirmed")

        await self._act(
            self._api.fapiPrivateDeleteAllOpenOrders, {"symbol": venue_symbol}, confirmed
        )

    async def set_leverage(self, venue_symbol: str, leverage: Decimal) -> None:
        if leverage != leverage.to_integral_value() or leverage < 1:
            raise NotSent(f"Binance takes whole leverages from 1, not {leverage}.")

        def confirmed(body: bytes) -> None:
            row = decode(body, LeverageRow)
            if row.symbol != venue_symbol or row.leverage != int(leverage):
                raise BadAnswer("not-ours", f"leverage of {row.symbol} is {row.leverage}")

        await self._act(
            self._api.fapiPrivatePostLeverage,
            {"symbol": venue_symbol, "leverage": str(int(leverage))},
            confirmed,
        )

    # Private stream

    async def open_private_stream(self) -> str:
        """Return the user stream's address; the listen key in it opens the account's stream."""
        key = await self._caller.read(
            self._api.fapiPrivatePostListenKey,
            {},
            lambda body: decode(body, ListenKey).listenKey,
            signed=False,
        )
        if not key.isascii() or not key.isalnum():
            raise VenueUnavailable("The venue gave no usable listen key.")
        return f"{self._endpoint.websocket}/private/ws?listenKey={key}"

    async def keep_private_stream(self) -> None:
        """Prolong the listen key by 60 minutes; VenueRejected (-1125) when it is gone."""
        await self._caller.act(self._api.fapiPrivatePutListenKey, {}, signed=False)

    async def close(self) -> None:
        await self._caller.close()

    async def _trades(self, venue_symbol: str, **params: str) -> Sequence[FillReport]:
        return await self._read(
            self._api.fapiPrivateGetUserTrades,
            lambda body: parsing.fills(body, venue_symbol=venue_symbol),
            symbol=venue_symbol,
            limit=str(PAGE),
            **params,
        )

    async def _read(
        self, method: Method, parse: Callable[[bytes], Result], **params: str
    ) -> Result:
        return await self._caller.read(method, params, parse)

    async def _act(
        self, method: Method, params: Mapping[str, str], parse: Callable[[bytes], Result]
    ) -> Result:
        """Send once. Whatever happens after the first byte and is not evidence is unknown."""
        try:
            return parse(await self._caller.act(method, params))
        except VenueError:
            raise
        except Exception as error:
            raise OutcomeUnknown(str(error) or type(error).__name__) from error


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


def plain(value: Decimal) -> str:
    """Return a decimal without exponent and without trailing zeros, as filters count digits."""
    return f"{value.normalize():f}"


def _ms_text(at: datetime) -> str:
    return str((at - EPOCH) // timedelta(milliseconds=1))
