"""The oracle names what is broken: each invariant, broken on purpose, is found and named."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from controlplane.faults.oracle import Broken, VenueLedger, check, violations
from hedging.emergency.verbs import stop_engage
from markets.venues.paper.faults import FaultKind
from monitoring.models import MonitoringEvent
from tests.faults.conftest import Stage

D = Decimal


def ledger(stage: Stage) -> VenueLedger:
    """Return a copy of the venue's ledger that may be bent."""
    entries = stage.paper.do(lambda: [dict(it) for it in stage.paper.server.ledger.since()])
    return VenueLedger(stage.paper.row.pk, entries)


def traded(stage: Stage) -> VenueLedger:
    stage.submit(stage.wish())
    stage.sync()
    told = ledger(stage)
    assert violations([told]) == []
    return told


def add(told: VenueLedger, kind: str, **fields: Any) -> None:
    """Write the first entry of a kind down once more, with other fields."""
    entries = told.entries
    assert isinstance(entries, list)
    first = next(it for it in entries if it["kind"] == kind and it.get("method") != "GET")
    entries.append({**first, "seq": 10_000, **fields})


def twice(told: VenueLedger) -> None:
    add(told, "order", orderId="other")


def sent_twice(told: VenueLedger) -> None:
    add(told, "request")


def another_trade(told: VenueLedger) -> None:
    add(told, "fill", tradeId="other", clientOrderId="somebody")


def a_stranger(told: VenueLedger) -> None:
    add(told, "order", clientOrderId="1" * 26, orderId="other")


def still_alive(told: VenueLedger) -> None:
    add(told, "order", status="open")


def other_price(told: VenueLedger) -> None:
    bend(told, "fill", price="1")


def off_the_lot(told: VenueLedger) -> None:
    bend(told, "order", amount="0.00001")


def no_number(told: VenueLedger) -> None:
    bend(told, "order", amount="NaN")


def bend(told: VenueLedger, kind: str, **fields: Any) -> None:
    entry = next(it for it in told.entries if it["kind"] == kind)
    assert isinstance(entry, dict)
    entry.update(fields)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (twice, "I1"),
        (sent_twice, "I1"),
        (another_trade, "I2"),
        (a_stranger, "I2"),
        (still_alive, "I3"),
        (other_price, "I4"),
        (off_the_lot, "I12"),
        (no_number, "I12"),
    ],
)
def test_a_ledger_that_tells_otherwise_breaks_the_invariant_it_is_about(
    stage: Stage, spoil: Callable[[VenueLedger], None], named: str
) -> None:
    told = traded(stage)
    spoil(told)
    found = violations([told])
    assert {item.invariant for item in found} >= {named}
    with pytest.raises(Broken, match=r"seed 7: \d+ broken, first I"):
        check([told], seed=7)


def test_an_order_the_venue_never_had_is_named(stage: Stage) -> None:
    told = traded(stage)
    bare = replace(told, entries=[])
    assert [item.invariant for item in violations([bare])] == ["I4", "I3"]


def test_an_order_of_unknown_fate_is_broken_only_once_all_has_settled(stage: Stage) -> None:
    intent = stage.wish()
    stage.fault(FaultKind.RESET, "POST", "order")
    stage.submit(intent)
    told = ledger(stage)
    assert {it.text.split()[0] for it in violations([told], is_settled=False)} == {"trade"}
    assert {it.text.split()[0] for it in violations([told])} == {"trade", intent.client_order_id}
    stage.look(intent)
    stage.sync()
    assert violations([ledger(stage)]) == []


def test_i5_a_send_beside_an_unknown_order_is_named(stage: Stage) -> None:
    lost, sent = stage.wish(amount=D("0.003")), stage.rest()
    stage.submit(sent)
    stage.sync()
    assert violations([ledger(stage)]) == []
    claim = MonitoringEvent.objects.get(payload__event="claim")
    # As if the other order had been lost before a claim some seconds later.
    for intent, event, seconds in ((lost, "lose", 1), (sent, "claim", 6)):
        payload = {**claim.payload, "intentId": str(intent.pk), "event": event}
        at = claim.created_at + timedelta(seconds=seconds)
        MonitoringEvent.objects.create(type="order", message="", payload=payload, created_at=at)
    (found,) = violations([ledger(stage)])
    assert (found.invariant, found.where) == ("I5", f"intent {sent.pk}")


def test_i6_an_order_accepted_under_a_stop_is_named(stage: Stage) -> None:
    told = traded(stage)
    stop = stop_engage(scope="account", target="alpha", actor=stage.actor, reason="test")
    assert violations([told]) == []
    late = int((stop.created_at + timedelta(seconds=5)).timestamp() * 1e9)
    add(told, "order", atNs=late, status="filled")
    assert [item.invariant for item in violations([told])] == ["I6"]


def test_i8_more_than_the_limit_held_and_under_way_is_named(stage: Stage) -> None:
    told = traded(stage)
    stage.account.max_position_value = D(1)
    stage.account.save()
    assert [item.invariant for item in violations([told])] == ["I8"]


def test_trades_of_accounts_that_are_not_ours_are_nobodys_business(stage: Stage) -> None:
    told = traded(stage)
    add(told, "fill", account="spare", clientOrderId="somebody")
    assert violations([told]) == []
