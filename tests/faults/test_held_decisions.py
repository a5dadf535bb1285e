"""B02 · A decision that is held up while fills arrive is never written on what it was made from."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from controlplane.base import clock
from controlplane.base.clock import database_now
from hedging import trigger
from hedging.models import HedgeExecution
from hedging.services import evaluating, executions_finish, locking, writing
from markets.models import Instrument
from markets.venues.ratelimit import limiter
from markets.venues.types import OrderType, Side
from strategies import execution, services
from strategies.models import OrderIntent, StrategyModule
from tests.flows.test_hedge_flow import ACTOR, BOOK, Stage, settle, stage, work

__all__ = ["stage"]

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal
STOPPED_SECONDS = 60.0


@pytest.fixture
def seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """alpha is 0.02 too long, which is known and not hedged yet."""
    with monkeypatch.context() as unseen:
        unseen.setattr(trigger, "_look", lambda books: None)
        stage.paper.move("alpha", "BTCUSDT", "0.02")
        stage.sync()
    stage.quote()
    return stage


def buy_on_beta(stage: Stage) -> None:
    """Have an order of ours filled, and a person undo the breach; both are read."""
    wish = services.intent_create(
        module=StrategyModule.objects.get(pk="hedger"), account=stage.beta,
        instrument=Instrument.objects.get(symbol="BTC"), side=Side.BUY, type=OrderType.MARKET,
        amount=D("0.01"), sandbox=False, actor=ACTOR,
    )  # fmt: skip
    assert execution.intent_submit(intent_id=wish.pk, actor=ACTOR).state == "filled"
    stage.paper.move("alpha", "BTCUSDT", "-0.02")
    stage.sync()


def after_planning(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    plan_checked = evaluating.plan_checked

    def held(*args: Any, **options: Any) -> Any:
        checked = plan_checked(*args, **options)
        assert checked.plan.orders
        act()
        return checked

    monkeypatch.setattr(evaluating, "plan_checked", held)


class Child:
    """A process of ours that decides about the book and is stopped (SIGSTOP) before it writes."""

    def __init__(self, stage: Stage) -> None:
        connections.close_all()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                limiter.limiter().forked()
                with pytest.MonkeyPatch.context() as patch:
                    after_planning(patch, lambda: os.kill(os.getpid(), signal.SIGSTOP))
                    code = 0 if stage.evaluate() is None else 2
            except Exception:
                code = 3  # its transaction is gone
            finally:
                os._exit(code)

    def waited(self, options: int = 0) -> int:
        until = time.monotonic() + STOPPED_SECONDS
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG | options)
            if pid:
                return status
            time.sleep(0.01)
        raise AssertionError("the child neither stopped nor ended")


@pytest.fixture
def stopped(seen: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """Decide in a process that is stopped; PostgreSQL waits a second for it."""
    monkeypatch.setattr(locking, "HELD_SECONDS", 1)
    child = Child(seen)
    try:
        yield child
    finally:
        try:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def test_b02_a_stopped_process_holds_nobody_up_and_writes_nothing_when_it_goes_on(
    seen: Stage, stopped: Child
) -> None:
    assert os.WIFSTOPPED(stopped.waited(os.WUNTRACED))
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '20s'")  # should its lock never go
    buy_on_beta(seen)  # what the sync sees is hedged at once, the stopped process notwithstanding
    hedge = HedgeExecution.objects.get()
    assert hedge.delta_before == D("0.01")
    os.kill(stopped.pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(stopped.waited()) == 3
    connection.close()
    work()
    settle(seen)
    assert HedgeExecution.objects.get() == hedge
    assert [(o["account"], o["side"], D(o["amount"])) for o in seen.orders()] == [
        ("beta", "buy", D("0.01")),
        ("alpha", "sell", D("0.01")),
    ]
    assert (seen.size("alpha"), seen.size("beta")) == (D("0.09"), D("-0.09"))


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float, meanwhile: Callable[[], None]) -> None:
    """Let a decision take so long by its own clock, and have something done meanwhile."""

    class Clock:
        ahead = timedelta()

        @classmethod
        def now(cls) -> datetime:
            return timezone.now() + cls.ahead

    def elsewhere() -> None:
        meanwhile()
        connections.close_all()

    def hold() -> None:
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        Clock.ahead = timedelta(seconds=seconds)

    monkeypatch.setattr(writing, "timezone", Clock)
    monkeypatch.setattr(trigger, "_look", lambda books: None)
    after_planning(monkeypatch, hold)


def test_b02_fills_that_arrive_in_130_seconds_of_deciding_leave_no_intent(
    seen: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as held:
        slow(held, 130, lambda: buy_on_beta(seen))
        assert seen.evaluate() is None
    assert not HedgeExecution.objects.exists()
    assert [it.account_id for it in OrderIntent.objects.all()] == ["beta"]
    again = seen.evaluate()
    assert again is not None
    assert again.delta_before == D("0.01")  # what is so by now


def test_b02_what_nobody_has_read_for_130_seconds_is_not_decided_on(
    seen: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 130, lambda: None)
    assert seen.evaluate() is None
    assert not HedgeExecution.objects.exists()


def test_b02_a_slow_decision_on_what_still_stands_is_written(
    seen: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 1, lambda: None)
    made = seen.evaluate()
    assert made is not None
    assert made.delta_before == D("0.02")


def test_b02_an_order_decided_on_long_ago_is_not_claimed_and_the_book_is_decided_anew(
    seen: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker was held up, and so was the sentinel that withdraws such orders."""
    assert seen.evaluate() is not None
    with monkeypatch.context() as later:
        later.setattr(clock, "database_now", lambda: database_now() + timedelta(seconds=16))
        work()
    intent = OrderIntent.objects.get()
    assert (intent.state, intent.claim_fence) == ("failed", 0)
    assert intent.reason.startswith("DECISION_TOO_OLD: seconds=16.")
    assert seen.orders() == []
    executions_finish(books=[BOOK])
    assert HedgeExecution.objects.get().result == "fail"
    assert seen.evaluate() is not None  # at once, at the price of now
