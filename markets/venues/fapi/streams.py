"""/fapi streams without sockets: frames in, events out, and never an exception.

Shapes: the vendors' "Websocket Market Streams" and "User Data Streams" pages.
"""

import contextlib
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from controlplane.kernel.secrets import redact
from controlplane.kernel.units import BaseAmount, Price, QuoteAmount, Ratio
from markets.venues import checks
from markets.venues.checks import UNREADABLE, BadAnswer
from markets.venues.fapi import wire
from markets.venues.reports import GrowingSequence, order_report, top_of_book
from markets.venues.sockets import CONFIRMED, SPEAK_SECONDS, Channels
from markets.venues.types import (
    AccountUpdate,
    BookTop,
    FillReport,
    MarketEvent,
    MarkPrice,
    OrderReport,
    OrderUpdate,
    PositionReport,
    PrivateEvent,
    Quarantined,
    StreamEnded,
)

MAX_STREAMS: Final = 200
"""Streams on one socket: Aster's limit ("WebSocket Market Streams"), and safe at Binance too."""
PROVE_SECONDS: Final = 5.0
"""Marks come each second: some missed ones are no proof yet; nor is a slow answer over REST."""
_NAMED: Final = re.compile(r'\s*\{\s*"stream"\s*:\s*"([0-9a-z_]+)@')


class _BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker"):
    u: int
    E: int
    s: str
    b: str
    B: str
    a: str
    A: str


class _MarkPriceUpdate(msgspec.Struct, tag_field="e", tag="markPriceUpdate"):
    E: int
    s: str
    p: str
    i: str | None = None
    r: str | None = None
    T: int = 0


_Market = _BookTicker | _MarkPriceUpdate


class _Combined(msgspec.Struct):
    stream: str
    data: _Market


class _OrderBody(msgspec.Struct):
    s: str
    c: str
    S: str
    q: str
    p: str
    ap: str
    x: str
    X: str
    i: int
    z: str
    T: int
    l: str = "0"  # noqa: E741 - the venue's own name
    L: str = "0"
    n: str | None = None
    N: str | None = None
    t: int = 0
    m: bool = False
    R: bool = False


class _OrderTradeUpdate(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    E: int
    o: _OrderBody


class _BalanceBody(msgspec.Struct):
    a: str
    wb: str


class _PositionBody(msgspec.Struct):
    s: str
    pa: str
    ep: str
    up: str
    ps: str = "BOTH"


class _AccountBody(msgspec.Struct):
    m: str
    B: list[_BalanceBody] = []
    P: list[_PositionBody] = []


class _AccountUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_UPDATE"):
    E: int
    T: int
    a: _AccountBody


class _ListenKeyExpired(msgspec.Struct, tag_field="e", tag="listenKeyExpired"):
    E: int


_Private = _OrderTradeUpdate | _AccountUpdate | _ListenKeyExpired


class _CombinedPrivate(msgspec.Struct):
    stream: str
    data: _Private


_KNOWN_MARKET: Final = frozenset({"bookTicker", "markPriceUpdate"})
_KNOWN_PRIVATE: Final = frozenset({"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "listenKeyExpired"})
_COMBINED: Final = msgspec.json.Decoder(_Combined)
_RAW: Final = msgspec.json.Decoder(_Market)
_COMBINED_PRIVATE: Final = msgspec.json.Decoder(_CombinedPrivate)
_RAW_PRIVATE: Final = msgspec.json.Decoder(_Private)
_TRADED: Final = frozenset({"TRADE", "CALCULATED"})


class _Answer(msgspec.Struct):
    id: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ANSWERS: Final = msgspec.json.Decoder(_Answer)
_LISTED: Final = msgspec.json.Decoder(list[str])


class FapiMarketSession:
    """Quotes (or, with `marks`, mark prices) of some symbols over one socket.

    `base` is the address up to `/stream`. Make a new session for each connection: the order of
    update ids is judged within one. Streams are asked for on the open socket. The acknowledgement
    proves nothing: a stream on the wrong path gets one like a good one, and then stays silent. So
    marks, which come each second, prove theirs by data. A calm market sends no quotes: those are
    proven by data or by the venue's list of what the socket is subscribed to (vendor: "Live
    Subscribing/Unsubscribing to streams"). That shows that the venue serves this socket and has
    the stream on it, but not that a quote would come: their silence must be judged beside it.
    """

    def __init__(self, base: str, venue_symbols: Collection[str], *, marks: bool = False) -> None:
        if not venue_symbols:
            raise ValueError("There is no socket without a symbol.")
        self._names: dict[str, str] = {}
        self._left: set[str] = set()
        self._asked: dict[int, Sequence[str]] = {}
        self._requests = 0
        self._order = GrowingSequence()
        self._marks = marks
        self._url = f"{base}/stream"
        self.channels = Channels(seconds=PROVE_SECONDS if marks else SPEAK_SECONDS)
        self._opening = self.subscribe(venue_symbols)

    def url(self) -> str:
        return self._url

    def opening_frames(self) -> Sequence[str]:
        return self._opening

    def channel(self, venue_symbol: str) -> str:
        return f"{venue_symbol.lower()}@{'markPrice@1s' if self._marks else 'bookTicker'}"

    def subscribe(self, venue_symbols: Collection[str]) -> Sequence[str]:
        """Return the request, and for quotes one for the list that proves them.

        Raises ValueError for more than fits on a socket.
        """
        names = {symbol: self.channel(symbol) for symbol in sorted(venue_symbols)}
        if len(self._names | names) > MAX_STREAMS:
            raise ValueError(f"1 to {MAX_STREAMS} symbols fit on a socket.")
        self._names |= names
        self._left -= names.keys()
        self.channels.missing |= set(names.values())
        frame = self._request("SUBSCRIBE", list(names.values()))
        self._asked[self._requests] = tuple(names.values())
        return (frame,) if self._marks else (frame, self._request("LIST_SUBSCRIPTIONS"))

    def unsubscribe(self, venue_symbols: Collection[str]) -> Sequence[str]:
        names = [self._names.pop(symbol) for symbol in sorted(venue_symbols)]
        self._left |= set(venue_symbols)
        self.channels.missing -= set(names)
        return (self._request("UNSUBSCRIBE", names),)

    def _request(self, method: str, names: Sequence[str] | None = None) -> str:
        self._requests += 1
        params = {} if names is None else {"params": names}
        return msgspec.json.encode({"method": method, **params, "id": self._requests}).decode()

    def heartbeat(self) -> str | None:
        """Return nothing: the venue sends protocol pings, which the runner answers."""
        return None

    def receive(self, frame: str | bytes) -> Sequence[MarketEvent]:
        """Return what a frame says; what we do not believe comes back as Quarantined."""
        try:
            event = _COMBINED.decode(frame).data
        except UNREADABLE:
            return self._receive_rare(frame)
        return self._believed(event)

    def _receive_rare(self, frame: str | bytes) -> Sequence[MarketEvent]:
        """Read frames without the wrapper, and sort out what is no data at all."""
        try:
            return self._believed(_RAW.decode(frame))
        except UNREADABLE:
            return self._answered(frame) or _unread(
                frame, known=_KNOWN_MARKET, venue_symbol=self._spoken_of(frame)
            )

    def _answered(self, frame: str | bytes) -> Sequence[MarketEvent]:
        """Note the streams that an answer lists; return why a request was refused, if it was."""
        try:
            answer = _ANSWERS.decode(frame)
        except UNREADABLE:
            return ()
        names = self._asked.pop(answer.id, ())
        if answer.error is not msgspec.UNSET:
            said = redact(bytes(answer.error).decode(errors="replace")[:160])
            return (Quarantined("refused-subscription", said),) if names else ()
        if answer.result is not msgspec.UNSET and not self._marks:
            with contextlib.suppress(*UNREADABLE):  # null is an acknowledgement
                for name in _LISTED.decode(answer.result):
                    self.channels.spoke(name)
        return ()

    def _spoken_of(self, frame: str | bytes) -> str:
        """Return the symbol that an unreadable frame is about, blank where it names none."""
        text = frame if isinstance(frame, str) else frame[:100].decode(errors="replace")
        found = _NAMED.match(text)
        symbol = found[1].upper() if found else ""
        return symbol if symbol in self._names else ""

    def _believed(self, event: _Market) -> Sequence[MarketEvent]:
        symbol = event.s
        if symbol not in self._names:
            is_late = symbol in self._left
            return () if is_late else (Quarantined("foreign-symbol", symbol[:40]),)
        try:
            believed = (
                self._book_top(event) if isinstance(event, _BookTicker) else _mark_price(event)
            )
        except BadAnswer as error:
            return (Quarantined(error.reason, error.detail, symbol),)
        if self.channels.missing:
            self.channels.spoke(self._names[symbol])
        return (believed,)

    def _book_top(self, event: _BookTicker) -> BookTop:
        top = top_of_book(
            event.s, event.b, event.B, event.a, event.A, at_ms=event.E, sequence=event.u
        )
        self._order.take(event.s, event.u, event.E)
        return top


def _mark_price(event: _MarkPriceUpdate) -> MarkPrice:
    return MarkPrice(
        venue_symbol=event.s,
        mark=Price(checks.positive(event.p, "p")),
        index=Price(checks.positive(event.i, "i")) if event.i else None,
        funding_rate=Ratio(checks.number(event.r, "r")) if event.r else None,
        next_funding_ms=checks.clock_ms(event.T, "T") if event.T else None,
        venue_ms=checks.clock_ms(event.E, "E"),
    )


class FapiPrivateSession:
    """One account's user stream. The same trade may come twice: tell fills apart by trade id.

    TRADE_LITE repeats what ORDER_TRADE_UPDATE says and is passed over, like every unknown event.
    A quiet account's stream says nothing. So once its socket is open, whoever runs it has a ping
    answered on it and the key it hangs on confirmed over REST (`confirm_private_stream`): that
    proves that the venue's end is there and that the account's living key is this socket's, not
    that it will tell everything; reading the account then, and now and again, covers that.
    """

    def __init__(self, *, asset: str) -> None:
        self._asset = asset
        self.channels = Channels((CONFIRMED,), seconds=PROVE_SECONDS)

    def receive(self, frame: str | bytes) -> Sequence[PrivateEvent]:
        """Return what a frame says; what we do not believe comes back as Quarantined."""
        try:
            event = _RAW_PRIVATE.decode(frame)
        except UNREADABLE:
            try:
                event = _COMBINED_PRIVATE.decode(frame).data
            except UNREADABLE:
                return _unread(frame, known=_KNOWN_PRIVATE)
        try:
            return (self._believed(event),)
        except BadAnswer as error:
            return (Quarantined(error.reason, error.detail),)

    def _believed(self, event: _Private) -> PrivateEvent:
        if isinstance(event, _OrderTradeUpdate):
            return _order_update(event.o)
        if isinstance(event, _AccountUpdate):
            return self._account_update(event)
        return StreamEnded("listenKeyExpired")

    def _account_update(self, event: _AccountUpdate) -> AccountUpdate:
        # The time of the match, so it compares with the times of trades; E may be later.
        at = checks.moment(event.T, "T")
        positions = []
        for row in event.a.P:
            if row.ps != "BOTH":
                raise BadAnswer("hedge-mode", f"{row.s} {row.ps}")
            entry = checks.number(row.ep, "ep")
            positions.append(
                PositionReport(
                    venue_symbol=row.s,
                    size=BaseAmount(checks.number(row.pa, "pa")),
                    entry_price=Price(entry) if entry > 0 else None,
                    mark_price=None,
                    unrealized_pnl=QuoteAmount(checks.number(row.up, "up")),
                    liquidation_price=None,
                    initial_margin=None,
                    at=at,
                )
            )
        wallets = [checks.number(row.wb, "wb") for row in event.a.B if row.a == self._asset]
        return AccountUpdate(
            positions=tuple(positions),
            wallet_balance=QuoteAmount(wallets[0]) if wallets else None,
            reason=event.a.m[:40],
            venue_ms=checks.clock_ms(event.E, "E"),
        )


def _order_update(body: _OrderBody) -> OrderUpdate:
    order = order_report(
        symbol=body.s,
        order_id=body.i,
        client_id=body.c,
        side=wire.side(body.S),
        status=wire.status(body.X),
        amount=body.q,
        filled=body.z,
        price=body.p,
        average=body.ap,
        reduce_only=body.R,
        at_ms=body.T,
    )
    return OrderUpdate(order, _fill(body, order) if body.x in _TRADED else None)


def _fill(body: _OrderBody, order: OrderReport) -> FillReport:
    if body.t <= 0:
        raise BadAnswer("bad-id", f"trade id {body.t}")
    amount = checks.positive(body.l, "l")
    if amount > order.filled:
        raise BadAnswer("bad-filled", f"a trade of {body.l} in an order filled {body.z}")
    return FillReport(
        venue_symbol=order.venue_symbol,
        trade_id=str(body.t),
        venue_order_id=order.venue_order_id,
        client_order_id=order.client_order_id,
        side=order.side,
        amount=BaseAmount(amount),
        price=Price(checks.positive(body.L, "L")),
        fee=checks.number(body.n or "0", "n"),
        fee_asset=body.N or "",
        is_maker=body.m,
        at=order.at,
    )


def _unread(
    frame: str | bytes, *, known: Collection[str], venue_symbol: str = ""
) -> tuple[()] | tuple[Quarantined]:
    """Pass over answers to our commands and events we do not know; quarantine the rest."""
    try:
        parsed: Any = msgspec.json.decode(frame)
    except UNREADABLE as error:
        return (Quarantined("malformed", str(error)[:200], venue_symbol),)
    data = parsed.get("data", parsed) if isinstance(parsed, dict) else parsed
    if isinstance(data, dict):
        event = data.get("e")
        is_answer = event is None and "id" in data and ("result" in data or "error" in data)
        if is_answer or (isinstance(event, str) and event not in known):
            return ()
    return (Quarantined("malformed", redact(repr(frame[:160])), venue_symbol),)
