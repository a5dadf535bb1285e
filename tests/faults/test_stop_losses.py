"""H08 · Stop-loss: fires once when it is confirmed, and what it did holds."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import (
    AccountState,
    EquitySample,
    ExchangeAccount,
    Position,
    RiskEnvelope,
    StopLossConfig,
)
from hedging.emergency import losses
from hedging.emergency.losses import LossWatch
from hedging.models import EmergencyStop
from monitoring.models import MonitoringEvent
from strategies import claims, execution, services
from strategies.models import OrderIntent
from tests import factories
from tests.faults.conftest import ACTOR
from tests.faults.stopping import system_hedge
from tests.hedging import world

Read = Callable[..., int]


@pytest.fixture
def account(transactional_db: None) -> ExchangeAccount:
    system_hedge()
    config = StopLossConfig.objects.create(
        stop_loss_config_id="careful",
        name="Careful",
        max_daily_drawdown_percent=5,
        confirmations=2,
        cool_down_seconds=3600,
    )
    made = factories.account(account_id="alpha", stop_loss_config=config)
    EquitySample.objects.create(account=made, equity=1000, at=timezone.now())
    RiskEnvelope.objects.update(max_drawdown_percent=20)
    return made


@pytest.fixture
def read(account: ExchangeAccount) -> Read:
    """Write a newer reading of equity and have the watch look; how often it acted."""
    watch, at = LossWatch(ACTOR), timezone.now()

    def look(equity: int, *, newer: bool = True) -> int:
        nonlocal at
        at += timedelta(milliseconds=10 if newer else 0)
        AccountState.objects.update(equity=equity, balance_at=at)
        return watch.look()

    return look


def configure(**fields: Any) -> None:
    StopLossConfig.objects.update(**fields)


def test_h08_one_bad_tick_trips_nothing(account: ExchangeAccount, read: Read) -> None:
    assert [read(900), read(900, newer=False), read(1000), read(900), read(990)] == [0] * 5
    account.refresh_from_db()
    assert account.status == "active"


def test_h08_a_confirmed_drawdown_pauses_once(account: ExchangeAccount, read: Read) -> None:
    assert [read(940), read(940), read(930), read(930)] == [0, 1, 0, 0]
    account.refresh_from_db()
    assert account.status == "paused"
    event = MonitoringEvent.objects.get(payload__code="stop-loss")
    assert (event.severity, event.payload["rule"], event.payload["value"]) == (
        "CRITICAL", "daily-drawdown", "6",
    )  # fmt: skip
    ExchangeAccount.objects.update(status="active")  # resumed by a person: not at once again
    assert [read(930), read(930), read(930)] == [0, 0, 0]
    AccountState.objects.update(stop_loss_at=timezone.now() - timedelta(hours=2))
    assert read(930) == 1


def test_h08_flatten_stops_the_book_once_and_latches(account: ExchangeAccount, read: Read) -> None:
    configure(action="flatten")
    assert [read(940), read(940), read(900)] == [0, 1, 0]
    stop = EmergencyStop.objects.get()
    assert (stop.scope, stop.target, stop.trigger, stop.flatten) == (
        "book", "live:alpha", "drawdown", True,
    )  # fmt: skip
    account.refresh_from_db()
    assert account.status == "emergency"


def test_h08_the_envelope_flattens_without_any_template(
    account: ExchangeAccount, read: Read
) -> None:
    ExchangeAccount.objects.update(stop_loss_config=None)
    assert [read(790), read(790), read(790)] == [0, 0, 1]
    assert EmergencyStop.objects.get().trigger == "drawdown"


@pytest.fixture
def pair(account: ExchangeAccount) -> ExchangeAccount:
    """`alpha` is long and to be reduced, `beta` the other side of its book."""
    configure(action="reduce")
    other = factories.account(account_id="beta")
    module = factories.module(dry_run_enabled=False)
    for row, size in ((account, "6"), (other, "-6")):
        factories.allocation(module=module, account=row)
        instrument = factories.instrument(venue=row.exchange)
        Position.objects.create(
            account=row,
            instrument=instrument,
            size=Decimal(size),
            mark_price=60_000,
            observed_at=timezone.now(),
        )
    AccountState.objects.filter(pk="beta").delete()
    return account


def test_h08_reduce_takes_the_same_from_both_sides(pair: ExchangeAccount, read: Read) -> None:
    assert [read(940), read(940)] == [0, 1]
    sent = OrderIntent.objects.order_by("account_id").values_list(
        "account_id", "side", "amount", "reduce_only", "type"
    )
    assert list(sent) == [
        ("alpha", "sell", Decimal(2), True, "ioc"),
        ("beta", "buy", Decimal(2), True, "ioc"),
    ]
    assert not EmergencyStop.objects.exists()


@pytest.fixture
def unsent(pair: ExchangeAccount, read: Read, monkeypatch: pytest.MonkeyPatch) -> list[OrderIntent]:
    """A reduction that waited for a worker until it was too old to go out at its price."""
    assert [read(940), read(940)] == [0, 1]
    with monkeypatch.context() as late:
        late.setattr(claims, "CLAIM_WITHIN", timedelta(0))
        for intent in OrderIntent.objects.all():
            submitted = execution.intent_submit(intent_id=intent.pk, actor=ACTOR)
            assert submitted.reason.startswith("DECISION_TOO_OLD: ")
    assert read(940) == 0  # not each second
    monkeypatch.setattr(losses, "UNDONE_AFTER", timedelta(0))
    return list(OrderIntent.objects.all())


def test_h08_a_reduction_that_nobody_sent_in_time_is_begun_anew_at_the_price_of_then(
    unsent: list[OrderIntent], read: Read
) -> None:
    Position.objects.update(mark_price=50_000)
    assert [read(940), read(940)] == [1, 0]
    again = OrderIntent.objects.exclude(pk__in=[it.pk for it in unsent])
    assert again.filter(price__lt=52_000).count() == 2
    assert {(it.account_id, it.amount, it.state) for it in again} == {
        ("alpha", Decimal(2), "pending"),
        ("beta", Decimal(2), "pending"),
    }
    world.moved(again[0], ("submitted", "sending"))  # one was sent: the book's delta tells the rest
    withdrawn = services.intent_withdraw(intent=again[1], reason="late", actor=ACTOR)
    assert (withdrawn.state, read(940)) == ("cancelled", 0)


def test_h08_a_reduction_that_nobody_sent_is_not_begun_anew_for_a_loss_that_is_over(
    unsent: list[OrderIntent], read: Read
) -> None:
    assert [read(1000), read(1000)] == [0, 0]
    assert OrderIntent.objects.count() == len(unsent)


def test_h08_an_action_that_breaks_is_taken_by_the_next_look(
    pair: ExchangeAccount, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError

    assert read(940) == 0
    with monkeypatch.context() as breaks:
        breaks.setattr(losses, "book_reduce", broken)
        with pytest.raises(RuntimeError):
            read(940)
    assert read(940) == 1
    assert OrderIntent.objects.count() == 2
