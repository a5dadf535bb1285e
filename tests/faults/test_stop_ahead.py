"""H · What a stop reads ahead, with the proof of its cancels, hastens it and decides nothing."""

from collections.abc import Callable

import pytest

from hedging.domain.emergency import StopEvent
from hedging.emergency import driving
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop, StoppedAccount
from markets.venues.paper.faults import Fault, FaultKind, Topic
from tests.faults.conftest import ACTOR, Stage
from tests.faults.stopping import drive, system_hedge


@pytest.fixture(autouse=True)
def _system_hedge(transactional_db: None) -> None:
    system_hedge()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[StopEvent]:
    """Note what the account of the stop goes through."""
    gone: list[StopEvent] = []
    moved: Callable[..., object] = driving.moved

    def noted(row: StoppedAccount, event: StopEvent, **columns: object) -> object:
        gone.append(event)
        return moved(row, event, **columns)

    monkeypatch.setattr(driving, "moved", noted)
    return gone


def looks(stage: Stage) -> int:
    """How often the venue was asked for positions."""
    return sum(entry["path"].endswith("/positionRisk") for entry in stage.ledger("request"))


def stopped(stage: Stage) -> EmergencyStop:
    """Stop everything at a venue where an order rests; return the stop when it is done."""
    assert stage.submit(stage.rest()) == ("submitted", "acknowledged")
    stop = stop_engage(scope="all", actor=ACTOR, reason="test")
    assert drive(stop, seconds=60)
    return stop


WAY = [StopEvent.BEGIN, StopEvent.CANCELLED, StopEvent.FLAT, StopEvent.CONFIRM]
"""Nothing was called flat that was not: what is verified and is not flat is opened again."""


def verify(stage: Stage, stop: EmergencyStop, steps: list[StopEvent]) -> None:
    assert steps == WAY
    assert stage.requests("DELETE", "allOpenOrders") == 1
    row = stop.accounts.get()
    assert (row.state, row.last_error) == ("latched", "")
    assert row.confirmed_at is not None
    held = stage.paper.do(lambda: stage.paper.server.core.engine.accounts["alpha"].size("BTCUSDT"))
    assert held == 0
    assert not stage.paper.server.core.engine.accounts["alpha"].open_orders
    stage.sync()
    stage.verify()


def test_positions_read_with_the_proof_of_the_cancels_are_what_is_closed(
    stage: Stage, steps: list[StopEvent]
) -> None:
    before = looks(stage)
    stop = stopped(stage)
    assert looks(stage) - before == 2  # ahead, and to verify
    verify(stage, stop, steps)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.ANSWER, topic=Topic.POSITIONS, status=500, body=b"{}", times=1),
        Fault(FaultKind.RESET, topic=Topic.POSITIONS, times=1),
        Fault(FaultKind.LATENCY, topic=Topic.POSITIONS, delay_ms=8_000, times=1),
    ],
    ids=lambda fault: str(fault.kind),
)
def test_a_look_ahead_that_fails_or_is_slow_costs_no_proof_and_says_nothing_of_positions(
    stage: Stage, steps: list[StopEvent], fault: Fault
) -> None:
    stage.paper.do(lambda: stage.paper.server.faults.add(fault))
    verify(stage, stopped(stage), steps)
