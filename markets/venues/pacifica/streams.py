"""Pacifica's sockets without sockets: frames in, events out, and never an exception.

A good subscription is acknowledged; one that the venue does not like gets no answer at all.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from controlplane.kernel.secrets import redact
from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio
from markets.venues import checks
from markets.venues.checks import UNREADABLE, BadAnswer
from markets.venues.pacifica import facts, parsing, wire
from markets.venues.pacifica.parsing import OrderTerms
from markets.venues.reports import GrowingSequence, top_of_book
from markets.venues.sockets import Channels
from markets.venues.types import (
    AccountUpdate,
    Endpoint,
    MarketEvent,
    MarkPrice,
    OrderUpdate,
    PositionReport,
    PrivateEvent,
    Quarantined,
)

ACCOUNT_CHANNELS: Final = (
    "account_positions",
    "account_order_updates",
    "account_trades",
    "account_info",
)


class _Frame(msgspec.Struct):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    li: int = 0


class _Params(msgspec.Struct):
    source: str
    symbol: str = ""


_FRAMES: Final = msgspec.json.Decoder(_Frame)
_SUBSCRIBED: Final = msgspec.json.Decoder(_Params)
_BBO: Final = msgspec.json.Decoder(wire.Bbo)
_PRICES: Final = msgspec.json.Decoder(list[wire.PriceRow])
_ORDERS: Final = msgspec.json.Decoder(list[wire.OrderUpdateRow])
_TRADES: Final = msgspec.json.Decoder(list[wire.TradeUpdateRow])
_POSITIONS: Final = msgspec.json.Decoder(list[wire.PositionUpdateRow])
_INFO: Final = msgspec.json.Decoder(wire.InfoUpdate)


def _subscribe(source: str, **params: str) -> str:
    return _request("subscribe", source=source, **params)


def _unsubscribe(source: str, **params: str) -> str:
    return _request("unsubscribe", source=source, **params)


def _request(method: str, **params: str) -> str:
    return msgspec.json.encode({"method": method, "params": params}).decode()


def _channel(source: str, symbol: str = "") -> str:
    return f"{source} {symbol}" if symbol else source


def _acknowledged(frame: _Frame) -> str | None:
    """Return the channel that a frame acknowledges, None when it is another frame."""
    if frame.channel != "subscribe":
        return None
    params = _SUBSCRIBED.decode(frame.data)
    return _channel(params.source, params.symbol)


def private_frames(account: str) -> tuple[str, ...]:
    """Return what opens an account's channels."""
    return tuple(_subscribe(channel, account=account) for channel in ACCOUNT_CHANNELS)


class PacificaMarketSession:
    """Quotes (or, with `marks`, mark prices) of some symbols over one socket.

    Make a new session for each connection: the order of quotes is judged within one.
    """

    def __init__(
        self, endpoint: Endpoint, venue_symbols: Collection[str], *, marks: bool = False
    ) -> None:
        if not venue_symbols:
            raise ValueError("There is no socket without a symbol.")
        self._symbols: set[str] = set()
        self._left: set[str] = set()
        self._marks = marks
        self._order = GrowingSequence()
        self._url = f"{endpoint.websocket}/ws"
        self.channels = Channels()
        self._opening = self.subscribe(venue_symbols)

    def url(self) -> str:
        return self._url

    def opening_frames(self) -> Sequence[str]:
        return self._opening

    def channel(self, venue_symbol: str) -> str:
        return "prices" if self._marks else _channel("bbo", venue_symbol)

    def subscribe(self, venue_symbols: Collection[str]) -> Sequence[str]:
        """Return the requests; raises ValueError for more quotes than fit on a socket.

        One channel tells the marks of every symbol: it is asked for once.
        """
        wanted = self._symbols | set(venue_symbols)
        if not self._marks and len(wanted) > facts.MAX_SUBSCRIPTIONS:
            raise ValueError(f"1 to {facts.MAX_SUBSCRIPTIONS} symbols fit on a socket.")
        is_asked, self._symbols = bool(self._symbols), wanted
        self._left -= wanted
        if self._marks and is_asked:
            return ()
        self.channels.missing |= {self.channel(symbol) for symbol in venue_symbols}
        if self._marks:
            return (_subscribe("prices"),)
        return tuple(_subscribe("bbo", symbol=symbol) for symbol in sorted(venue_symbols))

    def unsubscribe(self, venue_symbols: Collection[str]) -> Sequence[str]:
        self._symbols -= set(venue_symbols)
        self._left |= set(venue_symbols)
        if self._marks:
            return () if self._symbols else (_unsubscribe("prices"),)
        self.channels.missing -= {self.channel(symbol) for symbol in venue_symbols}
        return tuple(_unsubscribe("bbo", symbol=symbol) for symbol in sorted(venue_symbols))

    def heartbeat(self) -> str | None:
        return facts.HEARTBEAT

    def receive(self, frame: str | bytes) -> Sequence[MarketEvent]:
        """Return what a frame says; what we do not believe comes back as Quarantined."""
        try:
            parsed = _FRAMES.decode(frame)
            if parsed.channel == "bbo" and not self._marks:
                return self._believed(_BBO.decode(parsed.data))
            if parsed.channel == "prices" and self._marks:
                rows = _PRICES.decode(parsed.data)
                self.channels.spoke("prices")
                return [_mark(row) for row in rows if row.symbol in self._symbols]
            if (channel := _acknowledged(parsed)) is not None:
                self.channels.spoke(channel)
        except UNREADABLE as error:
            return (_unreadable(frame, error),)
        return ()

    def _believed(self, row: wire.Bbo) -> Sequence[MarketEvent]:
        if row.s not in self._symbols:
            return () if row.s in self._left else (Quarantined("foreign-symbol", row.s[:40]),)
        try:
            top = top_of_book(row.s, row.b, row.B, row.a, row.A, at_ms=row.t, sequence=row.li)
            self._order.take(row.s, row.li, row.t)
        except BadAnswer as error:
            return (Quarantined(error.reason, error.detail, row.s),)
        return (top,)


def _mark(row: wire.PriceRow) -> MarkPrice | Quarantined:
    try:
        at = checks.moment(row.timestamp, "timestamp")
        return MarkPrice(
            venue_symbol=row.symbol,
            mark=Price(checks.positive(row.mark, "mark")),
            index=Price(checks.positive(row.oracle, "oracle")),
            funding_rate=Ratio(checks.number(row.next_funding, "next_funding")),
            next_funding_ms=int(checks.ms_text(parsing.next_hour(at))),
            venue_ms=row.timestamp,
        )
    except BadAnswer as error:
        return Quarantined(error.reason, error.detail, row.symbol)


class PacificaPrivateSession:
    """One account's channels.

    Positions are told as they change; of one that is closed the venue says an empty list, which
    names no symbol. So what is open is counted here, from the positions and the trades since
    (ordered by `li`, as the vendor advises), and a close that cannot be placed is quarantined.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[Decimal, int]] = {}
        self.channels = Channels(ACCOUNT_CHANNELS)

    def receive(self, frame: str | bytes) -> Sequence[PrivateEvent]:
        """Return what a frame says; what we do not believe comes back as Quarantined."""
        try:
            return self._events(_FRAMES.decode(frame))
        except UNREADABLE as error:
            return (_unreadable(frame, error),)
        except BadAnswer as error:
            return (Quarantined(error.reason, error.detail),)

    def _events(self, frame: _Frame) -> Sequence[PrivateEvent]:
        if frame.channel == "account_order_updates":
            return [_order_update(row) for row in _ORDERS.decode(frame.data)]
        if frame.channel == "account_trades":
            return self._trades(_TRADES.decode(frame.data))
        if frame.channel == "account_positions":
            return self._positions(_POSITIONS.decode(frame.data), frame.li)
        if frame.channel == "account_info":
            row = _INFO.decode(frame.data)
            wallet = QuoteAmount(checks.number(row.b, "b"))
            return (AccountUpdate((), wallet, frame.channel, checks.clock_ms(row.t, "t")),)
        if (channel := _acknowledged(frame)) is not None:
            self.channels.spoke(channel)
        return ()

    def _trades(self, rows: Sequence[wire.TradeUpdateRow]) -> Sequence[PrivateEvent]:
        events: list[PrivateEvent] = []
        for row in rows:
            fill = parsing.fill(row)
            events.append(fill)
            size, known_at = self._open.get(row.s, (Decimal(0), row.li))
            if row.li > known_at:
                size += fill.amount * fill.side.sign
                self._open[row.s] = (size, row.li)
                if size == 0:
                    del self._open[row.s]
                    events.append(_flat(row.s, row.t))
        return events

    def _positions(
        self, rows: Sequence[wire.PositionUpdateRow], sequence: int
    ) -> Sequence[PrivateEvent]:
        if not rows:
            return self._closed()
        reports = [
            parsing.position(row.s, row.d, row.a, row.p, row.l, at=checks.moment(row.t, "t"))
            for row in rows
        ]
        for report in reports:
            self._open[report.venue_symbol] = (report.size, sequence)
        at_ms = max(row.t for row in rows)
        return (AccountUpdate(tuple(reports), None, "account_positions", at_ms),)

    def _closed(self) -> Sequence[PrivateEvent]:
        """An empty list: a trade has told the close already, or it cannot be placed."""
        if not self._open:
            return ()
        names = ", ".join(sorted(self._open))
        self._open.clear()
        return (Quarantined("unnamed-close", names),)


def _flat(symbol: str, at_ms: int) -> AccountUpdate:
    at = checks.moment(at_ms, "t")
    flat = PositionReport(symbol, BaseAmount(Decimal(0)), None, None, None, None, None, at)
    return AccountUpdate((flat,), None, "account_trades", at_ms)


def _order_update(row: wire.OrderUpdateRow) -> PrivateEvent:
    try:
        terms = OrderTerms(
            row.i, row.I, row.s, row.d, row.a, row.f, row.ip, row.p, row.os, row.r, row.ut
        )
        order = parsing.order(terms)
    except BadAnswer as error:
        return Quarantined(error.reason, error.detail)
    return OrderUpdate(order, None)


def _unreadable(frame: str | bytes, error: Exception) -> Quarantined:
    try:
        parsed: Any = msgspec.json.decode(frame)
    except UNREADABLE:
        return Quarantined("malformed", str(error)[:200])
    if isinstance(parsed, dict) and "id" in parsed and "channel" not in parsed:
        return Quarantined("error-answer", redact(str(parsed.get("err"))[:160]))
    return Quarantined("malformed", redact(repr(frame[:160])))
