"""What happens each second, whatever else has failed."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import AccountState, ExchangeAccount, Position
from controlplane.sentinel import Sentinel
from hedging.models import HedgeExecution, HedgeThrottle, ResolutionStep
from markets.models import Instrument, Quote
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests import factories
from tests.hedging import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def btc() -> Instrument:
    return world.market("BTC")


@pytest.fixture
def account(btc: Instrument) -> ExchangeAccount:
    """An account in breach, with a hedge-only module."""
    made = world.trader(btc, account_id="main")
    world.join(made)
    world.holds(made, btc, "0.02")
    return made


def queued(job: str) -> int:
    return sum(item.task["args"][0] == job for item in OrmQ.objects.all())


def done(sentinel: Sentinel) -> dict[str, int]:
    reports = sentinel.round()
    assert [report.error for report in reports] == [""] * len(reports)
    return {report.name: report.done for report in reports}


def test_a_round_hedges_a_breach_once(account: ExchangeAccount) -> None:
    sentinel = Sentinel()
    assert done(sentinel)["books"] == 1
    assert done(sentinel)["books"] == 0
    execution = HedgeExecution.objects.get()
    assert (execution.trigger_reason, execution.decision_inputs["surface"]) == ("delta", "sentinel")
    assert queued("orders.submit") == 1


def test_a_step_that_breaks_keeps_no_other_from_running(
    account: ExchangeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> list[OrderIntent]:
        raise RuntimeError

    monkeypatch.setattr("controlplane.sentinel.claims_recover", broken)
    reports = {report.name: report for report in Sentinel().round()}
    assert reports["claims"].error == "RuntimeError"
    assert reports["books"].done == 1


def test_due_syncs_are_queued_once(account: ExchangeAccount) -> None:
    sentinel = Sentinel()
    assert done(sentinel)["syncs"] == 1
    assert done(sentinel)["syncs"] == 0
    assert queued("accounts.sync") == 1


def test_a_hedge_no_worker_took_is_withdrawn_and_made_anew_at_once_however_often(
    account: ExchangeAccount, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.HEDGE_THROTTLE_FAILURES = 2
    sentinel = Sentinel()
    done(sentinel)
    assert done(sentinel)["stale"] == 0
    monkeypatch.setattr("controlplane.sentinel.STALE_HEDGE", timedelta(0))
    for _ in range(3):
        Quote.objects.update(received_at=timezone.now())
        assert done(sentinel)["stale"] == 1
    *ended, running = HedgeExecution.objects.order_by("pk")
    assert len(ended) == 3
    assert {(it.result, it.delta_after) for it in ended} == {("fail", Decimal("0.02"))}
    assert running.result is None
    assert not HedgeThrottle.objects.exists()
    assert OrderIntent.objects.filter(state="cancelled").count() == 3


def test_an_unknown_order_is_asked_for_and_told_of_after_a_minute(
    btc: Instrument, account: ExchangeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = factories.intent(account=account, instrument=btc, side="sell")
    world.moved(intent, ("submitted", "sending"), ("submitted", "unknown"))
    sentinel = Sentinel()
    assert done(sentinel)["unknown"] == 1
    (step,) = ResolutionStep.objects.all()
    assert (step.by_id, step.verdict) == ("unanswered", "unknown")
    monkeypatch.setattr("hedging.domain.resolution.AGAIN", timedelta(minutes=1))
    assert done(sentinel)["unknown"] == 0  # asked for not so often
    pages = MonitoringEvent.objects.filter(payload__code="outcome_unknown")
    assert not pages.exists()
    OrderIntent.objects.update(updated_at=timezone.now() - timedelta(seconds=61))
    done(sentinel)
    done(sentinel)
    assert pages.count() == 1


def test_a_book_that_stays_unhedged_is_told_of_once(
    account: ExchangeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedging.services.watching.PATIENCE", timedelta(0))
    Quote.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    sentinel = Sentinel()
    for _ in range(3):
        done(sentinel)
    (event,) = MonitoringEvent.objects.filter(type="delta-alert")
    assert (event.severity, event.payload["reason"]) == ("CRITICAL", "QUOTE_STALE")
    assert not HedgeExecution.objects.exists()


def test_the_command_does_one_round_and_tells(account: ExchangeAccount) -> None:
    out = StringIO()
    call_command("run_sentinel", "--once", "--json", stdout=out)
    reports = {item["name"]: item for item in json.loads(out.getvalue())}
    assert reports["books"]["done"] == 1
    assert all(not item["error"] for item in reports.values())


def test_hedge_says_what_it_would_do_and_does_nothing(account: ExchangeAccount) -> None:
    out = StringIO()
    call_command("hedge", "live:main", "--dry-run", "--json", stdout=out)
    (decision,) = json.loads(out.getvalue())["decisions"]
    assert (decision["verdict"], decision["reason"]) == ("HEDGE", "BREACH")
    assert decision["numbers"]["deltaBtc"].startswith("0.02")
    assert [(o["side"], o["amount"][:4], o["reduceOnly"]) for o in decision["orders"]] == [
        ("sell", "0.02", True)
    ]
    assert not HedgeExecution.objects.exists()


def test_hedge_hedges_now_with_its_reason(account: ExchangeAccount) -> None:
    call_command("hedge", "--reason", "before the weekend", stdout=StringIO())
    execution = HedgeExecution.objects.get()
    assert (execution.trigger_reason, execution.reason) == ("manual", "before the weekend")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--reason", "x", "live:gone"], 2),
        (["live:main"], 2),
        (["--reason", "x", "live:main"], 1),
    ],
)
def test_hedge_exits_2_on_usage_and_1_when_a_book_stays_unhedged(
    account: ExchangeAccount, arguments: list[str], code: int
) -> None:
    AccountState.objects.update(positions_at=None)
    with pytest.raises(CommandError) as caught:
        call_command("hedge", *arguments, stdout=StringIO())
    assert caught.value.returncode == code
    assert not HedgeExecution.objects.exists()
    assert Position.objects.get().size == Decimal("0.02")
