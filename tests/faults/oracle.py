"""The oracle: a paper venue's ledger against the database, after every scenario.

`check` raises AssertionError with the invariant's name, as numbered in the fault matrix:

- I1 never two accepted orders for one intent, and never more executed than it asked for;
- I2 every order and trade of the venue is in the database;
- I3 nothing is over with us that lives, or has filled more, at the venue;
- I4 each trade once, and an intent's trades sum to what the venue executed;
- I12 only finite, positive numbers reached the venue and the database.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from controlplane.kernel.ids import intent_id_of
from hedging.models import Fill
from strategies.models import OrderIntent

Entry = Mapping[str, Any]
ALIVE = frozenset({"NEW", "PARTIALLY_FILLED", "OPEN"})


def check(entries: Iterable[Entry], *, account_ids: Mapping[str, str] | None = None) -> None:
    """Compare a ledger's entries with the database.

    `account_ids` maps the venue's labels to our accounts where they are named differently.
    """
    names = account_ids or {}
    orders: dict[str, list[Entry]] = defaultdict(list)
    fills: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry["kind"] == "order" and intent_id_of(entry["clientOrderId"]) is not None:
            orders[entry["clientOrderId"]].append(entry)
        elif entry["kind"] == "fill":
            fills[entry["clientOrderId"]].append(entry)
            _numbers(entry)
    _trades_known([item for items in fills.values() for item in items], names)
    for client_id, entries_of in orders.items():
        _order(client_id, entries_of, fills[client_id])
    _nothing_poisoned()


def _order(client_id: str, entries: list[Entry], fills: list[Entry]) -> None:
    intent = OrderIntent.objects.filter(client_order_id=client_id).first()
    assert intent is not None, f"I2: the venue has {client_id}, the database has not"
    accepted = {entry["orderId"] for entry in entries}
    assert len(accepted) == 1, f"I1: {len(accepted)} venue orders for {client_id}: {accepted}"
    for entry in entries:
        _numbers(entry)
    executed = sum((Decimal(fill["amount"]) for fill in fills), Decimal(0))
    assert executed <= intent.amount, f"I1: {client_id} executed {executed} of {intent.amount}"
    last = entries[-1]
    is_over = intent.state in {"filled", "cancelled", "failed"}
    assert not (is_over and last["status"].upper() in ALIVE), (
        f"I3: {client_id} is {intent.state} with us and {last['status']} at the venue"
    )
    if is_over or intent.submission == "acknowledged":
        assert intent.filled_amount == executed, (
            f"I3: {client_id} has {intent.filled_amount} with us, {executed} at the venue"
        )
        booked = sum(Fill.objects.filter(intent=intent).values_list("amount", flat=True))
        assert booked == executed, f"I4: trades of {client_id} sum to {booked}, not {executed}"


def _trades_known(fills: list[Entry], names: Mapping[str, str]) -> None:
    known = set(
        Fill.objects.filter(sandbox=False).values_list(
            "account_id", "instrument__venue_symbol", "trade_id"
        )
    )
    told = [(names.get(f["account"], f["account"]), f["symbol"], f["tradeId"]) for f in fills]
    assert len(told) == len(set(told)), "I4: the ledger names a trade twice"
    assert not (missing := set(told) - known), f"I2: trades not in the database: {missing}"
    assert not (invented := known - set(told)), f"I4: trades the venue never made: {invented}"


def _numbers(entry: Entry) -> None:
    amount = Decimal(entry["amount"])
    assert 0 < amount < Decimal("Infinity"), f"I12: amount {amount} at the venue"


def _nothing_poisoned() -> None:
    for amount, filled in OrderIntent.objects.values_list("amount", "filled_amount"):
        assert not {amount.is_finite(), filled.is_finite()} - {True}, "I12: a number that is none"
        assert 0 <= filled <= amount, f"I12: filled {filled} of {amount}"
