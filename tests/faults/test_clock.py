"""F · Clocks: the venue's is off, steps, or is far away one way; orders are signed by it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import ExchangeAccount
from controlplane.background import Background
from controlplane.faults import oracle
from controlplane.faults.chaosproxy import ChaosProxy, chaos_proxy
from controlplane.faults.oracle import VenueLedger
from controlplane.faults.toxics import Toxic, ToxicKind, Way
from controlplane.sentinel import Sentinel
from markets.models import Venue
from markets.venue_watch import clock_measure, venues_judge
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.shared import server_clock
from monitoring.models import MonitoringEvent
from strategies.failover import intent_cancel
from tests.clients import forget_clients
from tests.faults.conftest import Stage, place

D = Decimal
TOO_EARLY_OR_LATE = -1021
"""Binance: the timestamp is outside of recvWindow, or ahead of the server's time."""


def skew(stage: Stage, milliseconds: int) -> None:
    """Set the venue's clock ahead of ours, in place of what it was."""
    stage.mend()
    if milliseconds:
        fault = Fault(FaultKind.CLOCK_OFFSET, offset_ms=milliseconds)
        stage.paper.do(lambda: stage.paper.server.faults.add(fault))


def refused_for_time(stage: Stage) -> int:
    return sum(entry["code"] == TOO_EARLY_OR_LATE for entry in stage.ledger("request"))


def verify(stage: Stage, milliseconds: int) -> None:
    entries = stage.paper.do(stage.paper.server.ledger.since)
    oracle.check(
        [VenueLedger(stage.paper.row.pk, entries, milliseconds * 1_000_000)], is_settled=True
    )


SHRINKS = {"side": "sell", "reduce_only": True}
"""The stage is long: what sells only reduces."""


@pytest.mark.parametrize("milliseconds", [5_000, -5_000, 60_000, -60_000])
def test_f01_a_clock_that_is_off_costs_no_order_and_hides_none(
    bare: Stage, milliseconds: int
) -> None:
    skew(bare, milliseconds)
    assert bare.sync() == "success"
    assert bare.submit(bare.wish(**SHRINKS)) == ("filled", "acknowledged")
    bare.fault(FaultKind.RESET, "POST", "order")
    lost = bare.wish(amount=D("0.02"), **SHRINKS)
    assert bare.submit(lost) == ("submitted", "unknown")
    assert bare.look(lost).verdict == "found"
    bare.sync()
    assert refused_for_time(bare) == 0
    verify(bare, milliseconds)


def another_process() -> None:
    """Know no venue's clock, as a process that has asked nothing yet."""
    server_clock.cache_clear()
    forget_clients()


@pytest.mark.parametrize("milliseconds", [5_000, -5_000, 60_000])
def test_f01_beyond_two_seconds_the_venue_is_failing_and_nothing_is_opened(
    stage: Stage, milliseconds: int
) -> None:
    resting = stage.rest()
    assert stage.submit(resting) == ("submitted", "acknowledged")
    another_process()
    skew(stage, milliseconds)
    venue = stage.paper.row
    clock_measure(venue)
    venue.refresh_from_db()
    assert (venue.status, venue.status_reason) == ("failing", "clock_off")
    assert venue.clock_offset == pytest.approx(milliseconds, abs=900)
    told = MonitoringEvent.objects.get(payload__code="venue_status")
    assert (told.severity, told.payload["to"]) == ("CRITICAL", "failing")
    another_process()  # which goes by the record alone
    assert stage.submit(denied := stage.wish(amount=D("0.02"))) == ("failed", "none")
    assert denied.reason.startswith("VENUE_CLOCK_OFF: clock_apart_ms=")
    assert stage.submit(stage.wish(**SHRINKS)) == ("filled", "acknowledged")
    intent_cancel(intent_id=resting.pk, actor=stage.actor)
    assert place(resting) == ("cancelled", "acknowledged")
    skew(stage, 0)
    clock_measure(venue)
    venue.refresh_from_db()
    assert (venue.status, venue.status_reason) == ("healthy", "")
    assert stage.submit(stage.wish(amount=D("0.03"))) == ("filled", "acknowledged")


def test_f01_a_step_of_this_machines_clock_stops_opens_before_anybody_measures(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")
    now = time.time_ns
    with monkeypatch.context() as stepped:
        stepped.setattr("markets.venues.shared.time.time_ns", lambda: now() + 5_000_000_000)
        assert stage.submit(denied := stage.wish(amount=D("0.02"))) == ("failed", "none")
    assert denied.reason.startswith("VENUE_CLOCK_OFF: clock_apart_ms=-")
    assert stage.submit(stage.wish(amount=D("0.03"))) == ("filled", "acknowledged")


def test_f01_the_sentinel_measures_and_says_degraded_from_half_a_second_on(stage: Stage) -> None:
    skew(stage, 1_200)
    sentinel = Sentinel(background=Background(1))
    try:
        sentinel.venues()
        until = time.monotonic() + 30
        while not MonitoringEvent.objects.filter(payload__code="venue_status").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        sentinel.background.close()
    venue = Venue.objects.get(pk=stage.paper.row.pk)
    assert (venue.status, venue.status_reason) == ("degraded", "clock_apart")
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")


def test_f01_a_clock_measured_long_ago_says_nothing(stage: Stage) -> None:
    old = timezone.now() - timedelta(seconds=61)
    Venue.objects.update(clock_offset=60_000, clock_at=old, status="failing")
    assert venues_judge(now=timezone.now()) == 1
    assert Venue.objects.get().status == "healthy"
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")


def test_f02_after_a_step_of_the_clock_one_order_is_refused_and_the_next_is_not(
    stage: Stage,
) -> None:
    for number, milliseconds in enumerate((20_000, -20_000, 0), 1):
        skew(stage, milliseconds)
        first = stage.submit(stage.wish(amount=D(f"0.01{number}"), **SHRINKS))
        assert first == ("failed", "acknowledged")  # proven: nothing was accepted
        again = stage.submit(stage.wish(amount=D(f"0.02{number}"), **SHRINKS))
        assert again == ("filled", "acknowledged")
        assert refused_for_time(stage) == number
    stage.sync()
    verify(stage, 0)


@contextmanager
def far_away(stage: Stage) -> Iterator[ChaosProxy]:
    """Put a bad network between us and the venue."""
    with chaos_proxy(stage.paper.server.port) as network:
        stage.paper.row.rest_endpoint = f"http://127.0.0.1:{network.port}"
        stage.paper.row.save(update_fields=["rest_endpoint"])
        stage.account = ExchangeAccount.objects.for_sync().get(pk=stage.account.pk)
        forget_clients()
        yield network


def test_f05_a_delay_one_way_is_off_by_no_more_than_half_the_round_trip(stage: Stage) -> None:
    with far_away(stage) as network:
        network.add(Toxic(ToxicKind.LATENCY, way=Way.UP, milliseconds=800))
        assert stage.submit(stage.wish()) == ("filled", "acknowledged")
        clock = server_clock(stage.paper.row.rest_endpoint)
        truth = stage.paper.do(stage.paper.server.core.now_ns)
        assert abs(clock.now_ms() * 1_000_000 - truth) <= clock.round_trip_ns // 2 + 500_000_000
        assert clock.round_trip_ns >= 800_000_000
        assert stage.sync() == "success"
    assert refused_for_time(stage) == 0
    verify(stage, 0)


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic(ToxicKind.SLICER, size=1),
        Toxic(ToxicKind.LATENCY, milliseconds=60, jitter=60),
        Toxic(ToxicKind.BANDWIDTH, rate=7_000),
    ],
    ids=lambda toxic: str(toxic.kind),
)
def test_j04_a_bad_network_makes_orders_slow_and_nothing_else(stage: Stage, toxic: Toxic) -> None:
    with far_away(stage) as network:
        network.add(toxic)
        assert stage.submit(stage.wish()) == ("filled", "acknowledged")
        assert stage.sync() == "success"
    verify(stage, 0)


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic(ToxicKind.RESET_PEER, way=Way.DOWN),
        Toxic(ToxicKind.LIMIT_DATA, way=Way.DOWN, size=40),
        Toxic(ToxicKind.TIMEOUT, way=Way.DOWN, milliseconds=300),
    ],
    ids=lambda toxic: str(toxic.kind),
)
def test_j01_an_answer_that_the_network_ate_is_unknown_and_found(
    stage: Stage, toxic: Toxic
) -> None:
    with far_away(stage) as network:
        assert stage.submit(stage.wish()) == ("filled", "acknowledged")  # the clock is known
        network.cut()
        network.add(toxic)
        assert stage.submit(lost := stage.wish(amount=D("0.02"))) == ("submitted", "unknown")
        assert stage.look(lost).verdict == "unknown"
        network.clear()
        assert stage.look(lost).verdict == "found"
        assert stage.requests("POST", "order") == 2
        stage.sync()
    verify(stage, 0)


def test_j01_a_network_that_is_down_proves_that_nothing_was_sent(stage: Stage) -> None:
    with far_away(stage) as network:
        assert stage.submit(stage.wish()) == ("filled", "acknowledged")
        network.add(Toxic(ToxicKind.DOWN))
        place = stage.submit(gone := stage.wish(amount=D("0.02")))
        assert place in (("failed", "none"), ("submitted", "unknown"))
        network.clear()
        assert stage.requests("POST", "order") == 1
        if place == ("submitted", "unknown"):  # a reset tells not where the bytes got to
            assert stage.look(gone).verdict == "unknown"
        stage.sync()
