"""/fapi user streams without sockets: one account's frames in, events out, and never an exception.

Shapes: the vendors' "User Data Streams" pages.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from controlplane.kernel.units import BaseAmount, Price, QuoteAmount
from markets.venues import checks
from markets.venues.checks import UNREADABLE, BadAnswer
from markets.venues.fapi import wire
from markets.venues.fapi.streams import PROVE_SECONDS, unread
from markets.venues.reports import order_report
from markets.venues.sockets import CONFIRMED, Channels
from markets.venues.types import (
    AccountUpdate,
    FillReport,
    OrderReport,
    OrderUpdate,
    PositionReport,
    PrivateEvent,
    Quarantined,
    StreamEnded,
)


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


_KNOWN_PRIVATE: Final = frozenset({"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "listenKeyExpired"})
_COMBINED_PRIVATE: Final = msgspec.json.Decoder(_CombinedPrivate)
_RAW_PRIVATE: Final = msgspec.json.Decoder(_Private)
_TRADED: Final = frozenset({"TRADE", "CALCULATED"})


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
                return unread(frame, known=_KNOWN_PRIVATE)
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
