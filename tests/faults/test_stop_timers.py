"""H07 · Dead-man timers: the venue cancels what rests there when the sentinel falls silent."""

import time
from collections.abc import Callable

import pytest
from django.conf import settings

from accounts.egress import client_of, route_of
from hedging.emergency import timers
from hedging.emergency.timers import TimerWatch
from markets.venues.paper.faults import FaultKind
from monitoring.models import MonitoringEvent
from strategies import execution
from tests.faults.conftest import ACTOR, Stage

PATH = "countdownCancelAll"


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> TimerWatch:
    monkeypatch.setattr(settings, "DEAD_MAN_SECONDS", 60)
    return TimerWatch()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the watch's clock forward, in seconds from now."""

    class Clock:
        ahead = 0.0

        @classmethod
        def monotonic(cls) -> float:
            return time.monotonic() + cls.ahead

    monkeypatch.setattr(timers, "time", Clock)

    def forward(seconds: float) -> None:
        Clock.ahead = seconds

    return forward


def test_h07_orders_of_a_dead_process_are_cancelled_by_the_venue(
    stage: Stage, watch: TimerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DEAD_MAN_SECONDS", 1)
    intent = stage.rest()
    assert stage.submit(intent) == ("submitted", "acknowledged")
    assert watch.look() == 1
    deadline = time.monotonic() + 20
    core = stage.paper.server.core
    while core.engine.accounts["alpha"].open_orders:  # nobody refreshes it any more
        assert time.monotonic() < deadline
        time.sleep(0.1)
        stage.paper.do(lambda: core.pass_second(1))


def test_h07_a_timer_is_refreshed_in_time_and_disarmed_with_the_last_order(
    stage: Stage, watch: TimerWatch, later: Callable[[float], None]
) -> None:
    assert watch.look() == 0  # nothing rests
    intent = stage.rest()
    stage.submit(intent)
    assert [watch.look(), watch.look()] == [1, 0]
    later(14)
    assert watch.look() == 0
    later(16)
    assert watch.look() == 1
    assert stage.requests("POST", PATH) == 2
    core = stage.paper.server.core
    order = next(iter(core.engine.accounts["alpha"].open_orders.values()))
    stage.paper.run(_cancel(stage, order.symbol))
    assert execution.unknown_resolve(intent=intent, actor=ACTOR).state == "cancelled"
    assert [watch.look(), watch.look()] == [1, 0]
    assert stage.requests("POST", PATH) == 3


async def _cancel(stage: Stage, symbol: str) -> None:
    client = client_of(route_of(stage.account))
    try:
        await client.cancel_all(symbol)
    finally:
        await client.close()


def test_h07_an_account_without_a_timer_is_told_once(stage: Stage, watch: TimerWatch) -> None:
    stage.submit(stage.rest())
    stage.fault(FaultKind.ANSWER, "POST", PATH, accepts=False, times=2, status=503)
    assert [watch.look(), watch.look()] == [0, 0]
    assert "alpha" in watch.unprotected
    event = MonitoringEvent.objects.get(payload__code="unprotected")
    assert (event.account_id, event.severity) == ("alpha", "WARN")
    assert watch.look() == 1  # tried again until it is set
    assert watch.unprotected == {}


def test_timers_can_be_switched_off(
    stage: Stage, watch: TimerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DEAD_MAN_SECONDS", 0)
    stage.submit(stage.rest())
    assert watch.look() == 0
    assert stage.requests("POST", PATH) == 0
