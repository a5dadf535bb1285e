"""H08 and C06 · Stop-loss and transfers: money taken out is no loss, and hides none."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import EquitySample, StopLossConfig, Transfer
from controlplane.background import Background
from controlplane.emergencies import Emergencies
from markets.venues.paper.faults import Fault, FaultKind, Topic
from monitoring.models import MonitoringEvent
from tests.faults.conftest import ACTOR, Stage
from tests.faults.test_balances import cash, look, transfer, unsaid

D = Decimal
HELD = "hedging.emergency.losses.HELD_FOR"


@pytest.fixture(name="stage")
def watched(stage: Stage) -> Stage:
    """Its money is reconciled, its equity has been the same for a while, and one look may act."""
    look(stage)
    assert cash().cash_agreed_at is not None
    config = StopLossConfig.objects.create(
        stop_loss_config_id="careful", name="Careful", max_peak_drawdown_percent=5, confirmations=1
    )
    stage.account.stop_loss_config = config
    stage.account.save()
    EquitySample.objects.create(
        account=stage.account, equity=equity(), at=timezone.now() - timedelta(minutes=2)
    )
    return stage


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine reads no history in five seconds."""
    monkeypatch.setattr(HELD, timedelta(seconds=60))


def rounds(until: Callable[[], bool], *, seconds: float = 40) -> int:
    """Let the sentinel look at losses, as it does each second, until it is so; how often it acted.

    Each round reads anew what the one before was in doubt of.
    """
    emergencies = Emergencies(ACTOR, Background())
    acted, end = 0, time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        acted += emergencies.losses()
        time.sleep(0.05)
    return acted + emergencies.losses()


def status(stage: Stage) -> str:
    stage.account.refresh_from_db()
    return str(stage.account.status)


def acted() -> bool:
    return MonitoringEvent.objects.filter(payload__code="stop-loss").exists()


def lag(stage: Stage) -> None:
    fault = Fault(FaultKind.QUERY_LAG, topic=Topic.INCOME, lag_seconds=D(3600))
    stage.paper.do(lambda: stage.paper.server.faults.add(fault))


def equity() -> Decimal:
    found = cash().equity
    assert found is not None
    return found


def test_h08_money_taken_out_is_read_as_a_transfer_before_anything_is_done(
    stage: Stage, patient: None
) -> None:
    before = equity()
    transfer(stage, str(-before / 2))
    look(stage)
    assert equity() < before * D("0.6")
    assert rounds(Transfer.objects.exists) == 0
    assert (status(stage), acted()) == ("active", False)
    assert cash().cash_unexplained == 0
    assert rounds(lambda: True) == 0


def test_h08_a_loss_after_a_withdrawal_is_measured_on_what_is_left(
    stage: Stage, patient: None
) -> None:
    before = equity()
    transfer(stage, str(-before / 2))
    look(stage)
    assert rounds(Transfer.objects.exists) == 0
    core = stage.paper.server.core
    stage.paper.do(lambda: core.jump("BTCUSDT", core.engine.markets["BTCUSDT"].mark * D("0.85")))
    look(stage)
    assert D("0.4") < equity() / before < D("0.47")
    assert rounds(acted) == 1
    assert status(stage) == "paused"
    (told,) = MonitoringEvent.objects.filter(payload__code="stop-loss")
    assert abs(D(told.payload["peak"]) - before / 2) < before / 100


def test_h08_a_fall_that_no_history_explains_is_acted_on_when_it_has_been_asked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue took it, or its history lags: nothing is held up for more than seconds."""
    lag(stage)
    monkeypatch.setattr("accounts.selectors.TRANSFERS_ASKED", timedelta(0))
    monkeypatch.setattr(HELD, timedelta(minutes=5))
    unsaid(stage, str(-equity() / 2))
    look(stage)
    asked = stage.requests("GET", "income")
    assert rounds(lambda: stage.requests("GET", "income") >= asked + 3) == 0
    assert (status(stage), acted()) == ("active", False)
    monkeypatch.setattr(HELD, timedelta(0))
    assert rounds(lambda: True) == 1
    assert status(stage) == "paused"
    (told,) = MonitoringEvent.objects.filter(payload__code="stop-loss")
    assert D(told.payload["unexplained"]) < 0
    assert D(told.payload["equity"]) < D(told.payload["peak"])


def test_h08_what_positions_lose_is_held_up_by_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HELD, timedelta(minutes=5))
    sample = EquitySample.objects.order_by("at").first()
    assert sample is not None
    EquitySample.objects.filter(pk=sample.pk).update(equity=equity() * 2)
    assert cash().cash_unexplained == 0
    asked = stage.requests("GET", "income")
    assert rounds(lambda: True) == 1
    assert (status(stage), stage.requests("GET", "income")) == ("paused", asked)
