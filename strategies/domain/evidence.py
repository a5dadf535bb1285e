"""What a venue's report about an order means for the intent behind it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import plain
from markets.venues.types import OrderReport, OrderStatus, Side
from strategies.domain.intent import (
    FILLED,
    TERMINAL_STATES,
    IntentEvent,
    Place,
    Submission,
)

_ENDS: Final = {
    OrderStatus.CANCELLED: IntentEvent.END,
    # An IOC whose rest found no counterparty has ended as asked, with the fills it got.
    OrderStatus.EXPIRED: IntentEvent.END,
    OrderStatus.REJECTED: IntentEvent.REJECT,
}


@dataclass(frozen=True, slots=True)
class OrderAsked:
    """What we asked for, and how much of it (base) we know to be filled."""

    client_order_id: str
    venue_symbol: str
    side: Side
    amount: Decimal
    filled: Decimal


def report_problem(asked: OrderAsked, report: OrderReport) -> str | None:
    """Return why `report` cannot be about the order we asked for, or None."""
    if report.client_order_id != asked.client_order_id:
        return f"client order id {report.client_order_id!r}, not {asked.client_order_id!r}"
    if report.venue_symbol != asked.venue_symbol:
        return f"symbol {report.venue_symbol!r}, not {asked.venue_symbol!r}"
    if report.side is not asked.side:
        return f"side {report.side}, not {asked.side}"
    if report.amount != asked.amount:
        return f"amount {plain(report.amount)}, not {plain(asked.amount)}"
    if not (report.filled.is_finite() and 0 <= report.filled <= asked.amount):
        return f"filled {plain(report.filled)} of {plain(asked.amount)}"
    if report.status is OrderStatus.FILLED and report.filled != asked.amount:
        return f"status filled with {plain(report.filled)} of {plain(asked.amount)}"
    if not report.venue_order_id:
        return "no venue order id"
    return None


def event_of(place: Place, asked: OrderAsked, report: OrderReport) -> IntentEvent | None:
    """Return the event `report` is for an intent at `place`; None when it tells nothing new.

    A report seen before, or older than what we know, tells nothing: filled amounts only grow and
    an ended order only takes late fills.
    """
    if place == FILLED:
        return None
    if report.filled == asked.amount:
        return IntentEvent.COMPLETE
    if place.state in TERMINAL_STATES:
        if place.submission is Submission.NONE and not report.status.is_final:
            return IntentEvent.ACKNOWLEDGE  # off the table: we hold it for never sent
        return IntentEvent.FILL if report.filled > asked.filled else None
    if report.status.is_final:
        return _ENDS[report.status]
    return fill_event(asked, report.filled) or IntentEvent.ACKNOWLEDGE


def fill_event(asked: OrderAsked, filled: Decimal) -> IntentEvent | None:
    """Return the event of a cumulative filled amount; None when it is not news."""
    if filled <= asked.filled:
        return None
    return IntentEvent.COMPLETE if filled == asked.amount else IntentEvent.FILL
