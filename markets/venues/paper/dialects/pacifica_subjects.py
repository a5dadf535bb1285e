"""What a Pacifica request or stream is about, in the words that faults are set with."""

from collections.abc import Mapping
from typing import Any, Final

from markets.venues.paper.faults import Channel, Subject, Topic

_READS: Final[Mapping[str, Topic]] = {
    "orders": Topic.ORDERS,
    "orders/history": Topic.ORDERS,
    "orders/history_by_id": Topic.ORDERS,
    "trades/history": Topic.TRADES,
    "funding/history": Topic.INCOME,
    "account/balance/history": Topic.INCOME,
    "account": Topic.ACCOUNT,
    "positions": Topic.POSITIONS,
    "account/settings": Topic.OTHER,
}
_WRITES: Final[Mapping[str, Topic]] = {
    "orders/create": Topic.PLACE,
    "orders/create_market": Topic.PLACE,
    "orders/cancel": Topic.CANCEL,
    "orders/cancel_all": Topic.CANCEL_ALL,
    "account/leverage": Topic.SETTINGS,
    "account/margin": Topic.SETTINGS,
}


def request_subject(
    method: str, path: str, name: str, params: Mapping[str, Any], account: str
) -> Subject:
    """`name` is the path behind the version, `account` the label behind the address."""
    reads = method == "GET"
    topic = _READS.get(name, Topic.MARKET) if reads else _WRITES.get(name, Topic.OTHER)
    order_id = params.get("order_id")
    return Subject(
        topic=topic,
        account=account,
        symbol=str(params.get("symbol") or ""),
        method=method,
        path=path,
        traits=_traits(name, params) if topic is Topic.PLACE else frozenset(),
        client_id=str(params.get("client_order_id") or ""),
        order_id=order_id if isinstance(order_id, int) else None,
    )


def _traits(name: str, params: Mapping[str, Any]) -> frozenset[str]:
    traits = {"market" if name.endswith("market") else "limit"}
    if params.get("tif") == "ALO":
        traits.add("post_only")
    if params.get("reduce_only") is True:
        traits.add("reduce_only")
    return frozenset(traits)


def stream_subject(stream: str, labels: Mapping[str, str]) -> Subject:
    """A stream is `channel:subject`; `labels` finds the account behind an address."""
    channel, _, subject = stream.partition(":")
    if channel.startswith("account_"):
        return Subject(stream=stream, account=labels.get(subject, ""), channel=Channel.PRIVATE)
    return Subject(stream=stream, symbol=subject, channel=Channel.PUBLIC)
