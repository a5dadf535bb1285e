"""F · Clocks: the venue's is off, steps, or is far away one way; orders are signed by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from accounts import egress
from accounts.models import ExchangeAccount
from controlplane.faults import oracle
from controlplane.faults.chaosproxy import ChaosProxy, chaos_proxy
from controlplane.faults.oracle import VenueLedger
from controlplane.faults.toxics import Toxic, ToxicKind, Way
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.shared import server_clock
from tests.faults.conftest import Stage

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


@pytest.mark.parametrize("milliseconds", [5_000, -5_000, 60_000, -60_000])
def test_f01_a_clock_that_is_off_costs_no_order_and_hides_none(
    bare: Stage, milliseconds: int
) -> None:
    skew(bare, milliseconds)
    assert bare.sync() == "success"
    assert bare.submit(bare.wish()) == ("filled", "acknowledged")
    bare.fault(FaultKind.RESET, "POST", "order")
    assert bare.submit(lost := bare.wish(amount=D("0.02"))) == ("submitted", "unknown")
    assert bare.look(lost).verdict == "found"
    bare.sync()
    assert refused_for_time(bare) == 0
    verify(bare, milliseconds)


def test_f02_after_a_step_of_the_clock_one_order_is_refused_and_the_next_is_not(
    stage: Stage,
) -> None:
    for number, milliseconds in enumerate((20_000, -20_000, 0), 1):
        skew(stage, milliseconds)
        first = stage.submit(stage.wish(amount=D(f"0.01{number}")))
        assert first == ("failed", "acknowledged")  # proven: nothing was accepted
        again = stage.submit(stage.wish(amount=D(f"0.02{number}")))
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
        egress._forget()
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
