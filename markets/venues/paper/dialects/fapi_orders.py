"""Order routes of the /fapi dialects, by name."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.dialects.fapi_errors import FapiError, mandatory
from markets.venues.paper.dialects.fapi_rest import Call, Route, Routes, Security
from markets.venues.paper.model import Order, OrderKind, TimeInForce
from markets.venues.paper.rules import NewOrder, Reason, Refused
from markets.venues.types import Side

_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
_CONDITIONAL: Final = frozenset(
    ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
)
_SIDES: Final[Mapping[str, Side]] = {"BUY": Side.BUY, "SELL": Side.SELL}


def place(call: Call) -> object:
    return placed(call, new_order(call))


def placed(call: Call, new: NewOrder) -> object:
    """Place an order and tell of it as fully as the caller asked."""
    order = call.venue.engine.place(call.account, new, now_ns=call.now_ns)
    answer = render.order(order)
    if call.params.get("newOrderRespType", "ACK") == "ACK":
        # An ACK tells of the acceptance only, whatever happened since.
        answer |= {"status": "NEW", "executedQty": "0", "cumQty": "0", "avgPrice": "0.00"}
        answer["cumQuote"] = "0"
    del answer["time"]
    return answer


def new_order(call: Call) -> NewOrder:
    """Return the order a request asks for; raises FapiError or Refused."""
    symbol = call.market().instrument.symbol
    side = _SIDES.get(call.text("side"))
    if side is None:
        raise FapiError(-1117, "Invalid side.")
    kind = call.text("type")
    if kind in _CONDITIONAL:
        raise FapiError(
            -4120,
            "Order type not supported for this endpoint. "
            "Please use the Algo Order API endpoints instead.",
        )
    if kind not in ("LIMIT", "MARKET"):
        raise FapiError(-1116, "Invalid orderType.")
    if (call.params.get("positionSide", "BOTH") != "BOTH") is not call.account.hedge_mode:
        raise Refused(Reason.WRONG_POSITION_SIDE)
    amount = call.decimal("quantity")
    if amount <= 0:
        raise FapiError(-4003, "Quantity less than or equal to zero.")
    is_limit = kind == "LIMIT"
    if not is_limit and "price" in call.params:
        raise FapiError(-1106, "Parameter 'price' sent when not required.")
    return NewOrder(
        symbol=symbol,
        side=side,
        kind=OrderKind(kind),
        tif=_time_in_force(call) if is_limit else TimeInForce.GTC,
        amount=amount,
        price=call.decimal("price") if is_limit else Decimal(0),
        client_id=_client_id(call),
        reduce_only=call.flag("reduceOnly"),
    )


def _time_in_force(call: Call) -> TimeInForce:
    try:
        return TimeInForce(call.text("timeInForce"))
    except ValueError:
        raise FapiError(-1115, "Invalid timeInForce.") from None


def _client_id(call: Call) -> str:
    given = call.params.get("newClientOrderId")
    if given is None:
        return f"paper-{call.now_ns}"
    if not _CLIENT_ID.fullmatch(given):
        raise FapiError(-4015, "Client order id is not valid.")
    return given


def _asked_order(call: Call) -> Order:
    symbol = call.text("symbol")
    order_id = call.integer("orderId") if "orderId" in call.params else None
    client_id = call.params.get("origClientOrderId")
    if order_id is None and not client_id:
        raise mandatory("orderId")
    return call.venue.engine.find_order(
        call.account, symbol, order_id=order_id, client_id=client_id
    )


def query(call: Call) -> object:
    return render.order(_asked_order(call))


def cancel(call: Call) -> object:
    call.market()
    try:
        order = _asked_order(call)
        call.venue.engine.cancel(call.account, order, now_ns=call.now_ns)
    except Refused:
        raise Refused(Reason.UNKNOWN_CANCEL) from None
    return render.order(order)


def cancel_all(call: Call) -> object:
    symbol = call.market().instrument.symbol
    call.venue.engine.cancel_all(call.account, symbol, now_ns=call.now_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_orders(call: Call) -> object:
    symbol = call.market().instrument.symbol if "symbol" in call.params else None
    return [
        render.order(order)
        for order in call.account.open_orders.values()
        if symbol is None or order.symbol == symbol
    ]


def open_order(call: Call) -> object:
    order = _asked_order(call)
    if order.status.is_final:
        raise FapiError(-2013, "Order does not exist.")
    return render.order(order)


def all_orders(call: Call) -> object:
    symbol = call.market().instrument.symbol
    first, last = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
    from_id = call.integer("orderId", 0)
    rows = [
        render.order(order)
        for order in call.account.orders.values()
        if order.symbol == symbol
        and order.order_id >= from_id
        and first <= render.ms(order.created_ns) <= last
    ]
    limit = call.limit(500, 1000)
    return rows[:limit] if first or from_id else rows[-limit:]


_SIGNED: Final = Security.SIGNED

ORDER_ROUTES: Final[Routes] = {
    ("POST", "order"): Route(place, 0, _SIGNED),
    ("GET", "order"): Route(query, 1, _SIGNED),
    ("DELETE", "order"): Route(cancel, 1, _SIGNED),
    ("GET", "openOrder"): Route(open_order, 1, _SIGNED),
    ("GET", "openOrders"): Route(open_orders, 40, _SIGNED),
    ("DELETE", "allOpenOrders"): Route(cancel_all, 1, _SIGNED),
    ("GET", "allOrders"): Route(all_orders, 5, _SIGNED),
}
