"""What a /fapi request or stream is about, in the words that faults are set with."""

import re
from collections.abc import Mapping
from typing import Final

from markets.venues.paper.faults import Channel, Subject, Topic

_PATH: Final = re.compile(r"/fapi/v\d/(.+)")
USER_STREAM: Final = "user:"
_READS: Final[Mapping[str, Topic]] = {
    "order": Topic.ORDERS,
    "openOrder": Topic.ORDERS,
    "openOrders": Topic.ORDERS,
    "allOrders": Topic.ORDERS,
    "userTrades": Topic.TRADES,
    "income": Topic.INCOME,
    "account": Topic.ACCOUNT,
    "accountWithJoinMargin": Topic.ACCOUNT,
    "balance": Topic.ACCOUNT,
    "positionRisk": Topic.POSITIONS,
    "leverageBracket": Topic.OTHER,
    "commissionRate": Topic.OTHER,
    "positionSide/dual": Topic.OTHER,
    "multiAssetsMargin": Topic.OTHER,
}
_WRITES: Final[Mapping[tuple[str, str], Topic]] = {
    ("POST", "order"): Topic.PLACE,
    ("DELETE", "order"): Topic.CANCEL,
    ("DELETE", "allOpenOrders"): Topic.CANCEL_ALL,
    ("POST", "countdownCancelAll"): Topic.TIMER,
    ("POST", "leverage"): Topic.SETTINGS,
    ("POST", "marginType"): Topic.SETTINGS,
    ("POST", "positionSide/dual"): Topic.SETTINGS,
    ("POST", "multiAssetsMargin"): Topic.SETTINGS,
}


def topic_of(method: str, path: str) -> Topic:
    found = _PATH.fullmatch(path)
    if found is None:
        return Topic.OTHER
    if found[1] == "listenKey":
        return Topic.LISTEN_KEY
    if method == "GET":
        return _READS.get(found[1], Topic.MARKET)
    return _WRITES.get((method, found[1]), Topic.OTHER)


def request_subject(
    method: str, path: str, params: Mapping[str, str], account: str | None
) -> Subject:
    topic = topic_of(method, path)
    order_id = params.get("orderId", "")
    return Subject(
        topic=topic,
        account=account or "",
        symbol=params.get("symbol", ""),
        method=method,
        path=path,
        traits=_traits(params) if topic is Topic.PLACE else frozenset(),
        client_id=params.get("newClientOrderId") or params.get("origClientOrderId") or "",
        order_id=int(order_id) if order_id.isascii() and order_id.isdigit() else None,
    )


def _traits(params: Mapping[str, str]) -> frozenset[str]:
    traits = {params.get("type", "").lower()}
    if params.get("timeInForce") == "GTX":
        traits.add("post_only")
    if params.get("reduceOnly", "").lower() == "true":
        traits.add("reduce_only")
    return frozenset(traits)


def stream_subject(stream: str) -> Subject:
    """A user stream is named by its account, a market stream by its symbol."""
    if stream.startswith(USER_STREAM):
        label = stream.removeprefix(USER_STREAM)
        return Subject(stream=stream, account=label, channel=Channel.PRIVATE)
    symbol = "" if stream.startswith("!") else stream.partition("@")[0].upper()
    return Subject(stream=stream, symbol=symbol, channel=Channel.PUBLIC)
