"""F01 · Ages of intents go by PostgreSQL's clock: hosts need not agree on theirs."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts import egress
from controlplane.base import clock
from controlplane.base.clock import DatabaseClock, database_now
from controlplane.sentinel import Sentinel
from hedging.emergency.cancelling import under_way
from hedging.emergency.reducing import MARK
from hedging.models import EmergencyStop
from hedging.services import unknown_look
from markets.models import Quote
from strategies import claims, execution, services
from strategies.domain.intent import IntentEvent
from strategies.models import OrderIntent
from tests.strategies.conftest import PRICE, Stage
from tests.strategies.sending import Line, echo, place, submit

Off = Callable[[float], None]
SOON = timedelta(seconds=30)
"""What a loaded machine may take; clocks here are off by more."""


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Off:
    """Set the wall clock of this process, and of the feeds beside it, off by so many seconds."""
    right = timezone.now

    def by(seconds: float) -> None:
        monkeypatch.setattr(timezone, "now", lambda: right() + timedelta(seconds=seconds))
        Quote.objects.update(received_at=timezone.now())

    return by


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    made = Line(echo)
    monkeypatch.setattr(egress, "execution_client", lambda account, **_: made)
    return made


def taking(stage: Stage, **fields: Any) -> OrderIntent:
    """Wish for an order that takes at once and only reduces, whatever was read of the account."""
    return stage.wish(**{"type": "ioc", "price": PRICE, "reduce_only": True, **fields})


def claim(stage: Stage, intent: OrderIntent) -> OrderIntent:
    (claimed,) = claims.intents_claim([intent], actor=stage.actor)
    return claimed


def lose(stage: Stage, intent: OrderIntent) -> None:
    with transaction.atomic():
        locked = services.intent_locked(intent.pk)
        services.intent_move(locked, IntentEvent.LOSE, actor=stage.actor, reason="cut off")


@pytest.mark.parametrize("seconds", [-60, 60])
def test_f01_an_intent_is_as_old_as_the_database_says_whoever_wrote_it(
    still: Stage, off: Off, seconds: float
) -> None:
    off(seconds)
    intent = still.wish()
    assert abs(database_now() - intent.created_at) < SOON
    assert OrderIntent.objects.get(pk=intent.pk).created_at == intent.created_at


@pytest.mark.parametrize("seconds", [-60, 60])
def test_f01_a_worker_whose_clock_is_off_sends_what_is_young(
    still: Stage, line: Line, off: Off, seconds: float
) -> None:
    intent = taking(still)
    off(seconds)
    assert place(submit(still, intent)) == ("submitted", "acknowledged")
    assert intent.signed_at is not None
    assert abs(database_now() - intent.signed_at) < SOON
    assert len(line.sent) == 1


def test_f01_a_worker_whose_clock_is_behind_claims_no_old_decision(
    still: Stage, line: Line, off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = taking(still)
    off(-60)
    monkeypatch.setattr(clock, "database_now", lambda: database_now() + timedelta(seconds=16))
    assert place(submit(still, intent)) == ("failed", "none")
    assert intent.reason.startswith("DECISION_TOO_OLD: seconds=16.")
    assert line.sent == []


def test_f01_a_send_held_up_is_not_made_though_its_clock_was_set_back_meanwhile(
    still: Stage, line: Line, off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(DatabaseClock):
        def now(self) -> datetime:
            off(-60)
            return super().now() + execution.SEND_WITHIN

    monkeypatch.setattr(execution, "DatabaseClock", Late)
    intent = submit(still, taking(still))
    assert place(intent) == ("failed", "none")
    assert intent.reason.startswith("CLAIM_TOO_OLD")
    assert line.sent == []


def test_f01_a_clock_set_forward_between_claim_and_send_keeps_no_order(
    still: Stage, line: Line, off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stepped(DatabaseClock):
        def now(self) -> datetime:
            off(60)
            return super().now()

    monkeypatch.setattr(execution, "DatabaseClock", Stepped)
    assert place(submit(still, taking(still))) == ("submitted", "acknowledged")


@pytest.mark.django_db
def test_f02_the_databases_clock_goes_on_by_what_has_really_passed(
    off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    monotonic = time.monotonic
    read = DatabaseClock()
    read.read()
    off(-60)
    with monkeypatch.context() as later:
        later.setattr("controlplane.base.clock.time.monotonic", lambda: monotonic() + 100)
        now = read.now()
    assert abs(now - database_now() - timedelta(seconds=100)) < SOON


def test_f01_a_sentinel_whose_clock_is_ahead_calls_no_send_lost(
    still: Stage, off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = claim(still, taking(still))
    off(60)
    assert Sentinel().claims() == 0
    later = database_now() + timedelta(seconds=60)
    monkeypatch.setattr("controlplane.sentinel.database_now", lambda: later)
    assert Sentinel().claims() == 1
    claimed.refresh_from_db()
    assert place(claimed) == ("submitted", "unknown")


def test_f01_a_sentinel_whose_clock_is_ahead_withdraws_nothing_young(
    still: Stage, off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(still, reason=f"{MARK} now")
    off(60)
    monkeypatch.setattr("controlplane.sentinel.STALE_HEDGE", SOON)
    assert Sentinel().stale() == 0
    monkeypatch.setattr("controlplane.sentinel.STALE_HEDGE", timedelta(0))
    assert Sentinel().stale() == 1


def test_f01_looks_for_an_unknown_order_are_dated_as_its_signature_is(
    still: Stage, off: Off
) -> None:
    intent = claim(still, taking(still))
    lose(still, intent)
    off(60)
    step = unknown_look(intent_id=intent.pk, actor=still.actor)
    assert step is not None
    assert abs(database_now() - step.at) < SOON


def test_f01_an_order_under_way_counts_until_the_database_says_it_has_expired(
    still: Stage, off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLOCK_MARGIN", SOON)
    intent = claim(still, taking(still))
    lose(still, intent)
    off(60)
    stop = EmergencyStop(scope="account", target=still.account.pk)
    assert under_way(stop, [still.account.pk]) == {still.account.pk: 1}


def test_f01_orders_of_the_last_minute_are_counted_whatever_a_workers_clock_shows(
    still: Stage, off: Off
) -> None:
    first = claim(still, still.wish())
    off(60)
    assert OrderIntent.objects.sent_within(SOON).get() == first
    assert not OrderIntent.objects.sent_within(timedelta(0)).exists()
