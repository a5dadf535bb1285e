"""What held at each moment, replayed from the events of orders and the venues' clocks: I5, I6, I8.

An event is dated inside its transaction, and another one that reads meanwhile does not see it
yet; so short spans are left between what happened and what had to be known of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from accounts.models import Position
from controlplane.faults.findings import Entry, VenueLedger, Violation, our_id
from hedging.domain.emergency import StopScope, StopState
from hedging.models import EmergencyStop, Fill
from markets.venues.types import Side
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent

ZERO: Final = Decimal(0)
STOPPED_AFTER: Final = timedelta(milliseconds=250)
"""From a stop's commit until nothing that adds is accepted any more."""
UNSEEN: Final = timedelta(seconds=3)
"""Between the date of a row and its commit, or a read and what follows, on a busy machine."""
SLACK: Final = Decimal("1.02")
"""A limit is held at the reference price and replayed at the order's own."""
_ORDER_EVENTS: Final = "order"

Place = tuple[str, UUID]
"""An account and an instrument."""


def stops_kept(ledger: VenueLedger) -> Iterator[Violation]:
    """Yield the orders that add and were accepted while a stop stood (I6)."""
    for stop in EmergencyStop.objects.prefetch_related("accounts"):
        begin = stop.created_at + STOPPED_AFTER + UNSEEN
        end = stop.released_at or datetime.max.replace(tzinfo=UTC)
        held = {
            row.account_id
            for row in stop.accounts.all()
            if stop.released_at or row.state != StopState.RELEASED
        }
        module = stop.target if stop.scope == StopScope.MODULE else None
        for entry in ledger.of("order"):
            if _adds(entry, held, module) and begin < _moment(ledger.at_ns(entry)) < end:
                text = f"{our_id(entry)} was accepted under the stop of {stop}"
                where = f"{ledger.venue_id} #{entry.get('seq', '?')}"
                yield Violation("I6", text, ledger.at_ns(entry), where)


def _adds(entry: Entry, held: set[str], module: str | None) -> bool:
    name = our_id(entry)
    if not name or entry["execution"] != "NEW" or entry["reduceOnly"]:
        return False
    if entry["account"] not in held:
        return False
    return (
        module is None or OrderIntent.objects.filter(module=module, client_order_id=name).exists()
    )


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, tz=UTC)


def kept() -> Iterator[Violation]:
    """Yield the sends beside an order of unknown fate (I5) and those above a limit (I8)."""
    intents = {str(row.pk): row for row in OrderIntent.objects.live().select_related("account")}
    held: dict[Place, _Held] = {}
    moves = [*_order_moves(intents), *_strange_moves()]
    for move in sorted(moves, key=lambda item: item.at):
        if move.place not in held:
            held[move.place] = _Held(_position_before(move.place))
        yield from held[move.place].take(move)


@dataclass(frozen=True, slots=True)
class _Move:
    """Something that changed what is held or on its way; `traded` is signed base."""

    at: datetime
    place: Place
    event: str = ""
    intent: OrderIntent | None = None
    filled: Decimal = ZERO
    is_over: bool = False
    traded: Decimal = ZERO


def _order_moves(intents: Mapping[str, OrderIntent]) -> Iterator[_Move]:
    rows = MonitoringEvent.objects.filter(type=_ORDER_EVENTS, payload__has_key="intentId")
    for at, payload in rows.values_list("created_at", "payload"):
        intent = intents.get(payload["intentId"])
        if intent is not None and "filledAmount" in payload:
            yield _order_move(at, intent, payload)


def _order_move(at: datetime, intent: OrderIntent, payload: Mapping[str, Any]) -> _Move:
    return _Move(
        at=at,
        place=(intent.account_id, intent.instrument_id),
        event=payload["event"],
        intent=intent,
        filled=Decimal(payload["filledAmount"]),
        is_over=payload["state"] in {"filled", "cancelled", "failed"},
    )


def _strange_moves() -> Iterator[_Move]:
    """Yield the trades of others, which move positions too."""
    for fill in Fill.objects.filter(sandbox=False, intent=None):
        place = (fill.account_id, fill.instrument_id)
        yield _Move(fill.recorded_at, place, traded=Side(fill.side).sign * fill.amount)


def _position_before(place: Place) -> Decimal:
    """Return the position before any trade that we know of."""
    account, instrument = place
    row = Position.objects.live().filter(account=account, instrument=instrument).first()
    fills = Fill.objects.filter(account=account, instrument=instrument, sandbox=False)
    traded = sum((Side(fill.side).sign * fill.amount for fill in fills), ZERO)
    return (row.size if row else ZERO) - traded


@dataclass(slots=True)
class _Held:
    """One instrument of one account: its position, and the orders on their way."""

    position: Decimal
    filled: dict[UUID, Decimal] = field(default_factory=dict)
    flying: dict[UUID, OrderIntent] = field(default_factory=dict)
    unknown: dict[UUID, datetime] = field(default_factory=dict)

    def take(self, move: _Move) -> Iterator[Violation]:
        intent = move.intent
        if intent is None:
            self.position += move.traded
            return
        if move.event == "claim":
            self.flying[intent.pk] = intent
            if not intent.reduce_only:
                yield from self._judge(move, intent)
        if move.event == "lose":
            self.unknown[intent.pk] = move.at
        elif move.event != "answer-quarantined":
            self.unknown.pop(intent.pk, None)
        grown = max(ZERO, move.filled - self.filled.get(intent.pk, ZERO))
        self.filled[intent.pk] = self.filled.get(intent.pk, ZERO) + grown
        self.position += Side(intent.side).sign * grown
        if move.is_over:
            self.flying.pop(intent.pk, None)

    def _judge(self, move: _Move, intent: OrderIntent) -> Iterator[Violation]:
        at_ns = int(move.at.timestamp() * 1e9)
        lost = [pk for pk, since in self.unknown.items() if move.at - since > UNSEEN]
        if lost:
            text = f"{intent.pk} was sent while nobody knew the fate of {lost[0]}"
            yield Violation("I5", text, at_ns, f"intent {intent.pk}")
        price, limit = intent.average_price or intent.price, intent.account.max_position_value
        before, after = self._worst(without=intent), self._worst()
        if price is not None and after > before and after * price > limit * SLACK:
            text = f"{intent.pk} made it {after * price} of at most {limit}"
            yield Violation("I8", text, at_ns, f"intent {intent.pk}")

    def _worst(self, *, without: OrderIntent | None = None) -> Decimal:
        """Return the largest size there may be should one side of what is on its way fill."""
        coming = {Side.BUY: ZERO, Side.SELL: ZERO}
        for pk, intent in self.flying.items():
            if without is None or pk != without.pk:
                coming[Side(intent.side)] += intent.amount - self.filled.get(pk, ZERO)
        long = self.position + coming[Side.BUY]
        return max(abs(long), abs(self.position - coming[Side.SELL]), abs(self.position))
