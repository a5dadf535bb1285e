"""The oracle: paper venues' ledgers against the database, after every scenario.

The invariants, numbered as in the fault matrix:

- I1 never two orders for one intent, none sent twice, never more executed than it asked for;
- I2 every order and trade of the venue is in the database;
- I3 nothing is over with us that lives, or has filled more, at the venue;
- I4 each trade once and as the venue tells it; an intent's trades sum to what was executed;
- I5 nothing that adds is sent beside an order of unknown fate;
- I6 nothing that adds is accepted once a stop stands;
- I8 what is held and what is on its way keep the limit at all times;
- I12 only finite, positive numbers that fit their instrument reached the venue or the database.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from django.db.models import Sum

from accounts.models import ExchangeAccount
from controlplane.faults import timeline
from controlplane.faults.findings import (
    Broken,
    Entry,
    VenueLedger,
    Violation,
    in_order,
    our_id,
)
from hedging.models import Fill
from markets.models import Instrument
from markets.venues.types import OrderStatus
from strategies.models import OrderIntent

__all__ = ["Broken", "VenueLedger", "Violation", "check", "violations"]

ZERO: Final = Decimal(0)
_OVER: Final = frozenset({"filled", "cancelled", "failed"})
_AT_VENUE: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.OPEN: "submitted",
    OrderStatus.PARTIALLY_FILLED: "submitted",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.EXPIRED: "cancelled",
    OrderStatus.REJECTED: "failed",
}


def check(
    ledgers: Iterable[VenueLedger], *, seed: int | str | None = None, is_settled: bool = False
) -> None:
    """Raise Broken, with the seed and the first bad event, unless every invariant holds."""
    if found := violations(ledgers, is_settled=is_settled):
        raise Broken(found, seed)


def violations(ledgers: Iterable[VenueLedger], *, is_settled: bool = True) -> list[Violation]:
    """Return what is broken, the first event first; empty when every invariant holds.

    With `is_settled` everything was given the time to become known: no order may be of unknown
    fate any more, and what rests must stand alike on both sides.
    """
    found: list[Violation] = []
    for ledger in ledgers:
        found += _Comparison(ledger, is_settled).run()
        found += timeline.stops_kept(ledger)
    found += timeline.kept()
    found += _poisoned()
    return in_order(found)


@dataclass(slots=True)
class _Comparison:
    """One venue's ledger beside what the database knows of its accounts."""

    ledger: VenueLedger
    is_settled: bool
    found: list[Violation] = field(default_factory=list)

    def run(self) -> list[Violation]:
        orders, fills = self.ledger.of("order"), self.ledger.of("fill")
        intents = self._intents(orders)
        self._numbers([*orders, *fills])
        self._sends()
        self._trades(fills)
        by_id: dict[str, list[Entry]] = defaultdict(list)
        executed: dict[str, Decimal] = defaultdict(Decimal)
        for entry in orders:
            if name := our_id(entry):
                by_id[name].append(entry)
        for entry in fills:
            executed[our_id(entry)] += Decimal(entry["amount"])
        booked = self._booked(intents.values())
        for name, entries in by_id.items():
            intent = intents.get(name)
            if intent is None:
                self._say("I2", f"the venue has {name}, the database has not", entries[0])
                continue
            self._order(intent, entries, executed[name], booked.get(intent.pk, ZERO))
        self._invented(by_id)
        return self.found

    def _say(self, invariant: str, text: str, entry: Entry) -> None:
        where = f"{self.ledger.venue_id} #{entry.get('seq', '?')}"
        self.found.append(Violation(invariant, text, self.ledger.at_ns(entry), where))

    def _intents(self, orders: Sequence[Entry]) -> dict[str, OrderIntent]:
        names = {our_id(entry) for entry in orders} - {""}
        rows = OrderIntent.objects.filter(client_order_id__in=names)
        return {row.client_order_id: row for row in rows}

    def _booked(self, intents: Iterable[OrderIntent]) -> dict[object, Decimal]:
        rows = (
            Fill.objects.filter(intent__in=[intent.pk for intent in intents])
            .order_by()
            .values_list("intent")
            .annotate(total=Sum("amount"))
        )
        return dict(rows)

    def _order(
        self, intent: OrderIntent, entries: Sequence[Entry], executed: Decimal, booked: Decimal
    ) -> None:
        name, last = intent.client_order_id, entries[-1]
        accepted = {entry["orderId"] for entry in entries}
        if len(accepted) > 1:
            self._say("I1", f"{len(accepted)} venue orders for {name}: {sorted(accepted)}", last)
        if executed > intent.amount:
            self._say("I1", f"{name} executed {executed} of {intent.amount}", last)
        status, is_over = OrderStatus(last["status"]), intent.state in _OVER
        is_known = is_over or intent.submission == "acknowledged"
        if is_over and not status.is_final:
            self._say("I3", f"{name} is {intent.state} with us and {status} at the venue", last)
        if is_known and intent.filled_amount != executed:
            text = f"{name} has {intent.filled_amount} with us, {executed} at the venue"
            self._say("I3", text, last)
        if is_known and booked != executed:
            self._say("I4", f"trades of {name} sum to {booked}, not {executed}", last)
        if self.is_settled and not is_known:
            self._say("I2", f"{name} is {intent.state}/{intent.submission} with us", last)
        elif self.is_settled and intent.state != _AT_VENUE[status]:
            self._say("I2", f"{name} is {intent.state} with us and {status} at the venue", last)

    def _invented(self, at_venue: Mapping[str, object]) -> None:
        """Name the orders we hold for accepted that the venue never had."""
        known = OrderIntent.objects.filter(
            account__exchange_id=self.ledger.venue_id,
            sandbox=False,
            submission="acknowledged",
            state__in=["submitted", "filled", "cancelled"],
        )
        for intent in known.only("client_order_id", "state", "updated_at"):
            if intent.client_order_id not in at_venue:
                text = f"{intent.client_order_id} is {intent.state} with us, unknown at the venue"
                at_ns = int(intent.updated_at.timestamp() * 1e9)
                self.found.append(Violation("I3", text, at_ns, self.ledger.venue_id))

    def _sends(self) -> None:
        """Name the orders that were asked for more than once, taken or not."""
        sent: set[str] = set()
        for entry in self.ledger.of("request"):
            is_order = entry["path"].endswith("/order") or "/create" in entry["path"]
            if entry["method"] != "POST" or not is_order or not entry.get("clientOrderId"):
                continue
            name = our_id(entry)
            if name in sent:
                self._say("I1", f"{name} was sent twice", entry)
            sent.add(name)

    def _trades(self, fills: Sequence[Entry]) -> None:
        accounts = set(
            ExchangeAccount.objects.filter(exchange_id=self.ledger.venue_id).values_list(
                "pk", flat=True
            )
        )
        ours = {
            (fill.account_id, fill.instrument.venue_symbol, fill.trade_id): fill
            for fill in Fill.objects.filter(
                account__exchange_id=self.ledger.venue_id, sandbox=False
            ).select_related("instrument")
        }
        told: set[tuple[str, str, str]] = set()
        for entry in fills:
            key = (entry["account"], entry["symbol"], entry["tradeId"])
            if entry["account"] not in accounts:
                continue
            if key in told:
                self._say("I4", f"the ledger names trade {key} twice", entry)
            told.add(key)
            if key not in ours:
                self._say("I2", f"trade {key} of {_terms(entry)} is not in the database", entry)
            elif (ours_is := _said(ours[key])) != (theirs := _terms(entry)):
                self._say("I4", f"trade {key} is {ours_is} with us, {theirs} there", entry)
        for key, fill in ours.items():
            if key not in told:
                at_ns = int(fill.recorded_at.timestamp() * 1e9)
                text = f"trade {key} of {_said(fill)} was never made"
                self.found.append(Violation("I4", text, at_ns, self.ledger.venue_id))

    def _numbers(self, entries: Iterable[Entry]) -> None:
        steps = {
            row.venue_symbol: (row.lot, row.tick)
            for row in Instrument.objects.filter(venue=self.ledger.venue_id)
        }
        for entry in entries:
            amount, price = Decimal(entry["amount"]), Decimal(entry["price"])
            if not (amount.is_finite() and amount > 0 and price.is_finite() and price >= 0):
                self._say("I12", f"amount {amount} at price {price}", entry)
            elif entry["kind"] == "order" and our_id(entry) and entry["symbol"] in steps:
                lot, tick = steps[entry["symbol"]]
                if amount % lot or price % tick:
                    self._say("I12", f"{amount} at {price} fits not {lot} and {tick}", entry)


def _terms(entry: Entry) -> tuple[str, Decimal, Decimal]:
    return entry["side"], Decimal(entry["amount"]), Decimal(entry["price"])


def _said(fill: Fill) -> tuple[str, Decimal, Decimal]:
    return str(fill.side), fill.amount, fill.price


def _poisoned() -> Iterator[Violation]:
    rows = OrderIntent.objects.values_list("pk", "amount", "filled_amount", "updated_at")
    for pk, amount, filled, at in rows:
        if not (amount.is_finite() and filled.is_finite() and 0 <= filled <= amount):
            text = f"filled {filled} of {amount}"
            yield Violation("I12", text, int(at.timestamp() * 1e9), f"intent {pk}")
