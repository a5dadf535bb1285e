"""The table of hook points: what each kind of fault does, when, and what it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What can be made to go wrong; HOOKS says what each does."""

    RESET = "reset"
    HANG = "hang"
    RAW = "raw"
    ANSWER = "answer"
    MID_REPLY = "mid_reply"
    POISON = "poison"
    REFUSE = "refuse"
    BAN = "ban"
    MAINTENANCE = "maintenance"
    KEEPALIVE_FAILS = "keepalive_fails"
    FILL_BEFORE_ACK = "fill_before_ack"
    FILL_AFTER_CANCEL_ACK = "fill_after_cancel_ack"
    LATENCY = "latency"
    QUERY_LAG = "query_lag"
    QUERY_LIES_NOT_FOUND = "query_lies_not_found"
    POSITION_LIES = "position_lies"
    WS_MUTE = "ws_mute"
    WS_DUP = "ws_dup"
    WS_REORDER = "ws_reorder"
    WS_GAP = "ws_gap"
    WS_DELAY = "ws_delay"
    WS_POISON = "ws_poison"
    WS_DROP = "ws_drop"
    WS_REFUSE = "ws_refuse"
    FUNDING_LATE = "funding_late"
    FUNDING_TWICE = "funding_twice"
    FUNDING_FLIP = "funding_flip"
    FUNDING_MISSED = "funding_missed"
    CLOCK_OFFSET = "clock_offset"
    HEDGE_MODE = "hedge_mode"
    DELISTED = "delisted"
    UNLISTED = "unlisted"
    INSTRUMENT = "instrument"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    TRANSFER = "transfer"


class Stage(StrEnum):
    """When a fault has its turn."""

    REQUEST = "request"
    PACE = "pace"
    READ = "read"
    FRAME = "frame"
    SOCKET = "socket"
    FUNDING = "funding"
    STATE = "state"
    ONCE = "once"


class Topic(StrEnum):
    """What a request is about, the same words for every dialect."""

    PLACE = "place"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    SETTINGS = "settings"
    TIMER = "timer"
    LISTEN_KEY = "listen_key"
    ORDERS = "orders"
    TRADES = "trades"
    INCOME = "income"
    ACCOUNT = "account"
    POSITIONS = "positions"
    MARKET = "market"
    OTHER = "other"


class Channel(StrEnum):
    """Whose streams: everybody's or an account's."""

    PUBLIC = "public"
    PRIVATE = "private"


WRITES: Final = frozenset(
    {Topic.PLACE, Topic.CANCEL, Topic.CANCEL_ALL, Topic.SETTINGS, Topic.TIMER}
)
ACCOUNT_READS: Final = frozenset(
    {Topic.ORDERS, Topic.TRADES, Topic.INCOME, Topic.ACCOUNT, Topic.POSITIONS}
)
EVERY_TOPIC: Final = frozenset(Topic)
TRAITS: Final = ("market", "limit", "post_only", "reduce_only")


@dataclass(frozen=True, slots=True)
class Hook:
    """A kind's row: its stage, the fields it takes and needs, whom it befalls and how often.

    `times` is how often it fires when nothing is said; None is until it is cleared.
    """

    stage: Stage
    says: str
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    topics: frozenset[Topic] = EVERY_TOPIC
    times: int | None = 1


_OFTEN: Final = frozenset({"times", "probability", "seconds"})
_ABOUT: Final = frozenset({"path", "topic", "account", "symbol"})
_ORDERS: Final = frozenset({"method", "order"})
MATCHES: Final[Mapping[Stage, frozenset[str]]] = {
    Stage.REQUEST: _OFTEN | _ABOUT | _ORDERS,
    Stage.PACE: _OFTEN | _ABOUT | _ORDERS,
    Stage.READ: _OFTEN | _ABOUT,
    Stage.FRAME: _OFTEN | {"channel", "account", "symbol", "stream", "text"},
    Stage.SOCKET: _OFTEN | {"channel", "account"},
    Stage.FUNDING: _OFTEN | {"account", "symbol"},
    Stage.STATE: frozenset({"seconds"}),
    Stage.ONCE: frozenset(),
}
"""Whom a fault of a stage may be narrowed to, how often and how long."""


def _hook(
    stage: Stage,
    says: str,
    *,
    takes: str = "",
    needs: str = "",
    topics: frozenset[Topic] = EVERY_TOPIC,
    times: int | None = 1,
) -> Hook:
    needed = frozenset(needs.split())
    return Hook(stage, says, frozenset(takes.split()) | needed, needed, topics, times)


HOOKS: Final[Mapping[FaultKind, Hook]] = {
    FaultKind.RESET: _hook(Stage.REQUEST, "The connection is cut, unanswered.", takes="accepts"),
    FaultKind.HANG: _hook(Stage.REQUEST, "No answer ever comes.", takes="accepts"),
    FaultKind.RAW: _hook(
        Stage.REQUEST,
        "`body` is written in place of an HTTP answer, then the connection ends.",
        takes="accepts body repeat",
    ),
    FaultKind.ANSWER: _hook(
        Stage.REQUEST,
        "An answer of our own: `status`, `body` (written `repeat` times), `headers`.",
        takes="accepts status body headers repeat",
    ),
    FaultKind.MID_REPLY: _hook(
        Stage.REQUEST, "The true answer is cut after `size` bytes of its body.", needs="size"
    ),
    FaultKind.POISON: _hook(
        Stage.REQUEST, "In the true answer, each `find` is replaced by `put`.", needs="find put"
    ),
    FaultKind.REFUSE: _hook(
        Stage.REQUEST,
        "Refused for `reason`, in the venue's own code and words; nothing is done.",
        takes="status",
        needs="reason",
    ),
    FaultKind.BAN: _hook(
        Stage.REQUEST,
        "Every request is answered `status` (429 or 418) for `seconds`, with the time left in "
        "Retry-After unless `retry_after` is false.",
        takes="retry_after",
        needs="status seconds",
        times=None,
    ),
    FaultKind.MAINTENANCE: _hook(
        Stage.REQUEST,
        "Writes are refused with 503, reads are served.",
        topics=WRITES,
        times=None,
    ),
    FaultKind.KEEPALIVE_FAILS: _hook(
        Stage.REQUEST,
        "A listen key is not prolonged: the venue says that it knows none.",
        topics=frozenset({Topic.LISTEN_KEY}),
    ),
    FaultKind.FILL_BEFORE_ACK: _hook(
        Stage.REQUEST,
        "A placed order fills (`factor` of it) and its events go out `delay_ms` before the answer, "
        "which says what was true before.",
        takes="factor delay_ms",
        topics=frozenset({Topic.PLACE}),
    ),
    FaultKind.FILL_AFTER_CANCEL_ACK: _hook(
        Stage.REQUEST,
        "A cancel is acknowledged, or answered with unknown order when `accepts` is false; "
        "`delay_ms` later the order fills (`factor` of it).",
        takes="accepts factor delay_ms",
        topics=frozenset({Topic.CANCEL}),
    ),
    FaultKind.LATENCY: _hook(
        Stage.PACE,
        "Each answer takes `delay_ms` longer, and up to `jitter_ms` more, half before it acts.",
        takes="jitter_ms",
        needs="delay_ms",
        times=None,
    ),
    FaultKind.QUERY_LAG: _hook(
        Stage.READ,
        "Account reads show the state of `lag_seconds` ago, but none older than the fault.",
        needs="lag_seconds",
        topics=ACCOUNT_READS,
        times=None,
    ),
    FaultKind.QUERY_LIES_NOT_FOUND: _hook(
        Stage.READ,
        "Reads of orders know none (of `symbol`), `times` times.",
        topics=frozenset({Topic.ORDERS}),
    ),
    FaultKind.POSITION_LIES: _hook(
        Stage.READ,
        "Reads and private streams show positions times `factor`: 2 is a wrong size, -1 the other "
        "side, 0 flat.",
        needs="factor",
        topics=frozenset({Topic.ACCOUNT, Topic.POSITIONS}),
        times=None,
    ),
    FaultKind.WS_MUTE: _hook(
        Stage.FRAME, "Nothing is sent; sockets stay open and pings are answered.", times=None
    ),
    FaultKind.WS_DUP: _hook(Stage.FRAME, "A frame is sent twice."),
    FaultKind.WS_REORDER: _hook(Stage.FRAME, "A frame is sent after the next one of its stream."),
    FaultKind.WS_GAP: _hook(Stage.FRAME, "A frame is lost: `times` of them, or by `probability`."),
    FaultKind.WS_DELAY: _hook(Stage.FRAME, "A frame is sent `delay_ms` late.", needs="delay_ms"),
    FaultKind.WS_POISON: _hook(
        Stage.FRAME,
        "In a frame's place `body` is sent, written `repeat` times.",
        takes="repeat",
        needs="body",
    ),
    FaultKind.WS_DROP: _hook(
        Stage.SOCKET,
        "Sockets are cut at once, or closed with `code`; while it stands, new ones too.",
        takes="code",
    ),
    FaultKind.WS_REFUSE: _hook(
        Stage.SOCKET, "New sockets are answered with `status`.", needs="status", times=None
    ),
    FaultKind.FUNDING_LATE: _hook(
        Stage.FUNDING,
        "A payment is booked `delay_ms` late, with the settlement's own time.",
        needs="delay_ms",
    ),
    FaultKind.FUNDING_TWICE: _hook(Stage.FUNDING, "A payment is booked twice."),
    FaultKind.FUNDING_FLIP: _hook(Stage.FUNDING, "A payment has the other sign."),
    FaultKind.FUNDING_MISSED: _hook(Stage.FUNDING, "A payment is never booked."),
    FaultKind.CLOCK_OFFSET: _hook(
        Stage.STATE,
        "The venue's clock is `offset_ms` ahead (behind when negative), Date header included.",
        needs="offset_ms",
        times=None,
    ),
    FaultKind.HEDGE_MODE: _hook(
        Stage.STATE,
        "`account` is in hedge mode: one-way orders are refused, both sides are reported.",
        needs="account",
        times=None,
    ),
    FaultKind.DELISTED: _hook(
        Stage.STATE, "`symbol` takes reducing orders only.", needs="symbol", times=None
    ),
    FaultKind.UNLISTED: _hook(
        Stage.STATE,
        "`symbol` is gone from the listing, as if renamed; what names it is refused as unknown.",
        needs="symbol",
        times=None,
    ),
    FaultKind.INSTRUMENT: _hook(
        Stage.STATE,
        "`symbol` has another `tick`, `lot` or `min_notional`.",
        takes="tick lot min_notional",
        needs="symbol",
        times=None,
    ),
    FaultKind.LIQUIDATION: _hook(
        Stage.ONCE, "The venue closes a position.", takes="factor", needs="account symbol"
    ),
    FaultKind.ADL: _hook(
        Stage.ONCE,
        "The venue reduces a position by `factor` to settle somebody else's.",
        takes="factor",
        needs="account symbol",
    ),
    FaultKind.TRANSFER: _hook(
        Stage.ONCE,
        "`amount` of the settlement asset comes in (goes out when negative).",
        needs="account amount",
    ),
}
