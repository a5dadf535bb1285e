"""A06, A18, D05 · A venue that is away, that only reads, or that keeps positions otherwise."""

import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.services import recovery_begin
from markets.models import Instrument, Venue
from markets.venues.paper.faults import Fault, FaultKind
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests.faults.conftest import ACTOR, Stage, place

D = Decimal
OPEN = ("submitted", "acknowledged")


def fault(stage: Stage, made: Fault) -> None:
    stage.paper.do(lambda: stage.paper.server.faults.add(made))


def test_a06_six_orders_stay_tracked_through_an_outage_in_which_three_fill(stage: Stage) -> None:
    resting = []
    for number in range(6):
        price = (stage.bid * (1 - D("0.001") * (number + 1))).quantize(D("0.1"))
        resting.append(stage.rest(price=price, amount=D("0.01") + D("0.001") * number))
        assert stage.submit(resting[-1]) == OPEN
    fault(stage, Fault(FaultKind.ANSWER, status=502, accepts=False, times=100_000))
    third = resting[2].price
    assert third is not None
    stage.paper.do(lambda: stage.paper.server.core.jump("BTCUSDT", third - 5))
    for _ in range(3):
        assert stage.sync() == "failed"
        assert [place(intent) for intent in resting] == [OPEN] * 6
    stage.mend()
    until = time.monotonic() + 30
    while stage.sync() != "success" and time.monotonic() < until:
        time.sleep(0.2)  # the circuit lets one request a second through until it is whole
    stage.sync()
    assert [place(intent)[0] for intent in resting] == ["filled"] * 3 + ["submitted"] * 3
    stage.verify()


def test_a18_a_venue_that_takes_no_orders_gets_one_and_no_more_until_it_is_known(
    stage: Stage,
) -> None:
    fault(stage, Fault(FaultKind.MAINTENANCE))
    first = stage.wish()
    assert stage.submit(first) == ("submitted", "unknown")
    for amount in ("0.02", "0.03"):
        assert stage.submit(stage.wish(amount=D(amount))) == ("failed", "none")
    denied = OrderIntent.objects.filter(state="failed").values_list("reason", flat=True)
    assert {reason.split(":")[0] for reason in denied} == {"ORDER_OUTCOME_UNKNOWN"}
    assert stage.sync() == "success"  # reads are served
    assert stage.requests("POST", "order") == 1
    stage.verify()


def test_a18_a_venue_that_fails_at_orders_is_shown_so_and_nothing_is_opened_there(
    stage: Stage,
) -> None:
    ether = Instrument.objects.get(venue=stage.paper.row, symbol="ETH")
    venue = stage.paper.row
    fault(stage, Fault(FaultKind.MAINTENANCE))
    assert stage.submit(stage.wish()) == ("submitted", "unknown")
    venue.refresh_from_db()
    assert (venue.status, venue.status_reason, venue.writes_lost) == ("degraded", "order_failed", 1)
    shrinks = {"side": "sell", "reduce_only": True}
    assert stage.submit(stage.wish(**shrinks)) == ("submitted", "unknown")  # always tried
    venue.refresh_from_db()
    assert (venue.status, venue.status_reason) == ("degraded", "takes_no_orders")
    refused = stage.wish(instrument=ether, amount=D("0.2"))
    assert stage.submit(refused) == ("failed", "none")
    assert refused.reason.startswith("VENUE_TAKES_NO_ORDERS: ")
    assert refused.reason.endswith("orders_lost=2")
    told = MonitoringEvent.objects.filter(payload__code="venue_status")
    assert [event.severity for event in told] == ["WARN"]  # of an edge, once
    stage.mend()
    assert stage.submit(stage.wish(amount=D("0.02"), **shrinks)) == ("filled", "acknowledged")
    venue.refresh_from_db()
    assert (venue.status, venue.status_reason, venue.writes_lost) == ("healthy", "", 0)
    after = stage.wish(instrument=ether, amount=D("0.3"))
    assert stage.submit(after) == ("failed", "none")
    assert after.reason.startswith("PRICE_STALE")  # nobody quotes it here; the venue is no obstacle
    stage.sync()
    stage.verify()


def test_a18_after_a_minute_one_order_more_is_let_out_to_see(stage: Stage) -> None:
    long_ago = timezone.now() - timedelta(seconds=61)
    Venue.objects.update(writes_lost=5, writes_lost_at=long_ago, status="degraded")
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")
    venue = Venue.objects.get()
    assert (venue.status, venue.writes_lost) == ("healthy", 0)


@pytest.mark.parametrize("held", [True, False], ids=["with a position", "flat"])
def test_d05_an_account_in_hedge_mode_is_not_armed(bare: Stage, held: bool) -> None:
    if not held:
        engine = bare.paper.server.core.engine
        bare.paper.do(lambda: engine.accounts["alpha"].positions.clear())
    fault(bare, Fault(FaultKind.HEDGE_MODE, account="alpha"))
    assert bare.sync() == "partial"
    assert bare.submit(denied := bare.wish()) == ("failed", "none")
    assert denied.reason == "ACCOUNT_NOT_RECONCILED"
    told = MonitoringEvent.objects.filter(account_id="alpha", severity="WARN")
    assert any("could not be read in full" in event.message for event in told)
    assert bare.requests("POST", "order") == 0
    bare.mend()
    assert bare.sync() == "success"
    assert bare.submit(bare.wish(amount=D("0.02"))) == ("filled", "acknowledged")
    # Turned while we were away: what a recovery reads is not taken for what it was.
    fault(bare, Fault(FaultKind.HEDGE_MODE, account="alpha"))
    recovery_begin(at=timezone.now(), actor=ACTOR, reason="restart")
    bare.sync()
    assert bare.submit(bare.wish(amount=D("0.03"))) == ("failed", "none")
