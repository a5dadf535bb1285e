"""Our record of an account against its venue's: what differs, and how grave that is.

Both sides are given as values. A query that failed is not given at all: what is unknown differs
from nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from controlplane.kernel.events import Severity
from controlplane.kernel.ids import intent_id_of
from controlplane.kernel.units import ZERO, plain
from hedging.domain.origin import origin_of
from markets.venues.types import OrderReport

LISTED_AFTER: Final = timedelta(seconds=2)
"""A list of open orders may lag behind an acknowledgement by this much."""
ENDED_BEFORE: Final = timedelta(seconds=5)
"""... and still show an order that has ended this long ago."""
BOOKED_AFTER: Final = timedelta(seconds=3)
"""A trade may be told this much later than the order's filled amount."""
GRAVE_AFTER: Final = timedelta(seconds=60)
STEADY: Final = timedelta(seconds=3)
STEADY_AMONG_TRADES: Final = timedelta(seconds=15)
"""How long a position must differ by the same amount: trades on their way look the same."""


class BreakKind(StrEnum):
    """How our record and the venue's differ."""

    ORDER_MISSING_AT_VENUE = "order-missing-at-venue"
    ORDER_UNKNOWN_TO_US = "order-unknown-to-us"
    ORDER_LIVE_AFTER_END = "order-live-after-end"
    EXTERNAL_ORDER = "external-order"
    FILL_UNKNOWN_TO_US = "fill-unknown-to-us"
    POSITION_MISMATCH = "position-mismatch"
    BALANCE_MISMATCH = "balance-mismatch"
    FUNDING_MISMATCH = "funding-mismatch"


SEVERITY: Final[Mapping[BreakKind, Severity]] = {
    BreakKind.ORDER_MISSING_AT_VENUE: Severity.WARN,
    BreakKind.ORDER_UNKNOWN_TO_US: Severity.CRITICAL,
    BreakKind.ORDER_LIVE_AFTER_END: Severity.CRITICAL,
    BreakKind.EXTERNAL_ORDER: Severity.WARN,
    BreakKind.FILL_UNKNOWN_TO_US: Severity.WARN,
    BreakKind.POSITION_MISMATCH: Severity.CRITICAL,
    BreakKind.BALANCE_MISMATCH: Severity.WARN,
    BreakKind.FUNDING_MISMATCH: Severity.WARN,
}
_LASTING: Final = frozenset({BreakKind.EXTERNAL_ORDER})
"""Kinds that are in order however long they last: somebody else's business."""
ORDER_KINDS: Final = frozenset(
    {
        BreakKind.ORDER_MISSING_AT_VENUE,
        BreakKind.ORDER_UNKNOWN_TO_US,
        BreakKind.ORDER_LIVE_AFTER_END,
        BreakKind.EXTERNAL_ORDER,
    }
)


def severity_of(kind: BreakKind, age: timedelta) -> Severity:
    """Return how grave a difference of this age is."""
    if age >= GRAVE_AFTER and kind not in _LASTING:
        return Severity.CRITICAL
    return SEVERITY[kind]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `subject` names what differs: an order's id, a contract, an intent."""

    kind: BreakKind
    subject: str
    venue_symbol: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OurOrder:
    """An order of ours as we have it. `is_live`: sent, and not ended as far as we know.

    `acknowledged_at` is None while the venue has not told of it, `changed_at` when we last
    learned something of it. Amounts are base; `booked` is the sum of its trades in our record.
    """

    client_order_id: str
    venue_symbol: str
    is_live: bool
    acknowledged_at: datetime | None
    changed_at: datetime
    filled: Decimal
    booked: Decimal


def order_differences(
    ours: Iterable[OurOrder], listed: Sequence[OrderReport], *, at: datetime
) -> list[Difference]:
    """Compare our orders with all the venue's open ones, asked for at `at`.

    `ours` are all live ones and those the venue lists. An order that names no intent of ours is
    external: it is shown, and counts where the venue's positions count it.
    """
    known = {order.client_order_id: order for order in ours}
    shown = {report.client_order_id for report in listed}
    found = [
        Difference(
            BreakKind.ORDER_MISSING_AT_VENUE,
            order.client_order_id,
            order.venue_symbol,
            {"filled": plain(order.filled)},
        )
        for order in known.values()
        if _should_be_listed(order, at) and order.client_order_id not in shown
    ]
    for report in listed:
        kind = _kind_of(report, known.get(report.client_order_id), at)
        if kind is not None:
            found.append(Difference(kind, _name(report), report.venue_symbol, _told(report)))
    return found


def _should_be_listed(order: OurOrder, at: datetime) -> bool:
    acknowledged = order.acknowledged_at
    return order.is_live and acknowledged is not None and acknowledged < at - LISTED_AFTER


def _kind_of(report: OrderReport, order: OurOrder | None, at: datetime) -> BreakKind | None:
    if order is None:
        is_ours = intent_id_of(report.client_order_id) is not None
        return BreakKind.ORDER_UNKNOWN_TO_US if is_ours else BreakKind.EXTERNAL_ORDER
    if order.is_live or order.changed_at >= at - ENDED_BEFORE:
        return None
    return BreakKind.ORDER_LIVE_AFTER_END


def _name(report: OrderReport) -> str:
    return report.venue_order_id or report.client_order_id


def _told(report: OrderReport) -> Mapping[str, str]:
    return {
        "venueOrderId": report.venue_order_id,
        "clientOrderId": report.client_order_id,
        "origin": str(origin_of(report.client_order_id)),
        "side": str(report.side),
        "amount": plain(report.amount),
        "filled": plain(report.filled),
        "price": "" if report.price is None else plain(report.price),
    }


def fill_differences(ours: Iterable[OurOrder], *, at: datetime) -> list[Difference]:
    """Return the orders of which the venue has filled more than the trades we have booked."""
    return [
        Difference(
            BreakKind.FILL_UNKNOWN_TO_US,
            order.client_order_id,
            order.venue_symbol,
            {"filled": plain(order.filled), "booked": plain(order.booked)},
        )
        for order in ours
        if order.filled > order.booked and order.changed_at < at - BOOKED_AFTER
    ]


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A position and what our record makes of it, in signed base.

    `base` is the size that everything before some moment makes, None when never looked at, and
    `traded` the sum of the trades since. `unexplained` and `since` are what was found last time;
    `last_trade_at` is when the newest of those trades was recorded.
    """

    size: Decimal
    base: Decimal | None
    traded: Decimal
    unexplained: Decimal
    since: datetime | None
    last_trade_at: datetime | None


@dataclass(frozen=True, slots=True)
class PositionCheck:
    """What of a position trades do not explain (signed base), since when, and for certain."""

    unexplained: Decimal
    since: datetime | None
    is_disputed: bool


def check_position(held: HeldPosition, *, at: datetime) -> PositionCheck:
    """Compare a position with its trades, at a look begun at `at`.

    A difference is certain when it has stayed the same for a while. A query that failed is no
    position: it is not given here.
    """
    difference = ZERO if held.base is None else held.size - held.base - held.traded
    if difference == 0:
        return PositionCheck(ZERO, None, is_disputed=False)
    since = held.since if held.since is not None and held.unexplained == difference else at
    is_quiet = held.last_trade_at is None or held.last_trade_at < since
    return PositionCheck(
        difference,
        since,
        is_disputed=at - since >= (STEADY if is_quiet else STEADY_AMONG_TRADES),
    )
