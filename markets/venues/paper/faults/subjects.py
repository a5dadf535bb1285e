"""What a fault is matched against: a request, a stream, a socket, a settlement."""

from dataclasses import dataclass

from markets.venues.paper.faults.kinds import Channel, Topic


@dataclass(frozen=True, slots=True)
class Subject:
    """What something is about, in no venue's words. Blank is: it does not say.

    `traits` are an order's (market, limit, post_only, reduce_only); `text` is a frame's content.
    """

    topic: Topic = Topic.OTHER
    account: str = ""
    symbol: str = ""
    method: str = ""
    path: str = ""
    traits: frozenset[str] = frozenset()
    client_id: str = ""
    order_id: int | None = None
    stream: str = ""
    channel: Channel | None = None
    text: bytes = b""
