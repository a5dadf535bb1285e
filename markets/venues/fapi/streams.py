"""/fapi streams without sockets: frames in, events out, and never an exception.

Shapes: the vendors' "Websocket Market Streams" pages.
"""

import contextlib
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from controlplane.kernel.secrets import redact
from controlplane.kernel.units import Price, Ratio
from markets.venues import checks
from markets.venues.checks import UNREADABLE, BadAnswer
from markets.venues.reports import GrowingSequence, top_of_book
from markets.venues.sockets import SPEAK_SECONDS, Channels
from markets.venues.types import (
    BookTop,
    MarketEvent,
    MarkPrice,
    Quarantined,
)

MAX_STREAMS: Final = 200
"""Streams on one socket: Aster's limit ("WebSocket Market Streams"), and safe at Binance too."""
PROVE_SECONDS: Final = 5.0
"""Marks come each second: some missed ones are no proof yet; nor is a slow answer over REST."""
_NAMED: Final = re.compile(r'\s*\{\s*"stream"\s*:\s*"([0-9a-z_]+)@')


class _BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    u: int
    E: int
    s: str
    b: str
    B: str
    a: str
    A: str


class _MarkPriceUpdate(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    E: int
    s: str
    p: str
    i: str | None = None
    r: str | None = None
    T: int = 0


_Market = _BookTicker | _MarkPriceUpdate


class _Combined(msgspec.Struct, gc=False):
    stream: str
    data: _Market


class _Event(msgspec.Struct):
    e: str


class _Kind(msgspec.Struct):
    stream: str
    data: _Event


_KNOWN_MARKET: Final = frozenset({"bookTicker", "markPriceUpdate"})
_COMBINED: Final = msgspec.json.Decoder(_Combined)
_RAW: Final = msgspec.json.Decoder(_Market)
_KINDS: Final = msgspec.json.Decoder(_Kind)


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
        if _is_of_another_kind(frame):
            return ()
        try:
            return self._believed(_RAW.decode(frame))
        except UNREADABLE:
            return self._answered(frame) or unread(
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


def _is_of_another_kind(frame: str | bytes) -> bool:
    """Tell of a sound frame that is none of ours, at the least cost: bursts are full of them."""
    try:
        return _KINDS.decode(frame).data.e not in _KNOWN_MARKET
    except UNREADABLE:
        return False


def unread(
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
