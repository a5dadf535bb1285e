"""C, J · After a start or an outage the truth is known again soon, whatever was asked before."""

from collections.abc import Callable
from datetime import UTC, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from accounts import egress
from accounts.jobs import syncs_enqueue_due
from accounts.models import AccountState
from accounts.services import account_sync, recovery_begin
from controlplane.background import Background
from controlplane.watchfulness import Reconciliations
from hedging.models import Fill
from markets.venues.paper.faults import FaultKind
from markets.venues.ratelimit.limiter import Limiter
from markets.venues.ratelimit.terms import Scope, Told
from tests.clients import forget_clients
from tests.faults.conftest import ACTOR, Stage

READ_UP = 1500
"""Of the 2,400 weights a minute: beyond what routine reads may fill, below recovery's part."""


@pytest.fixture
def read_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage in a process that has just started, its exit's minute used up by the last one."""
    made = Limiter()
    monkeypatch.setattr("markets.venues.ratelimit.gates.limiter", lambda: made)
    told = (Told(Scope.EXIT, 60, READ_UP, 60),)
    monkeypatch.setattr("markets.venues.fapi.limits.told", lambda *_args, **_more: told)
    forget_clients()
    egress.run(egress.execution_client(stage.account).positions())
    return stage


def looked(stage: Stage, *, thorough: bool) -> str:
    job = account_sync(account=stage.account, actor=ACTOR, thorough=thorough)
    assert job is not None
    return str(job.status)


def test_c01_a_recovery_reads_though_routine_reads_have_used_up_their_part(read_up: Stage) -> None:
    read_up.paper.move("alpha", "BTCUSDT", "0.2")
    assert looked(read_up, thorough=False) != "success"
    assert looked(read_up, thorough=True) == "success"
    assert Fill.objects.filter(amount="0.2").count() == 1
    assert looked(read_up, thorough=False) != "success"  # it is the look's, not the process's


def test_c01_dear_histories_take_nothing_of_what_is_kept_for_recoveries(read_up: Stage) -> None:
    unread = {
        f"{name}_{at}": None for name in ("funding", "transfers") for at in ("at", "tried_at")
    }
    AccountState.objects.update(**unread)
    assert looked(read_up, thorough=True) == "partial"
    job = read_up.account.sync_jobs.latest("started_at")
    told = [line.split(": ")[:2] for line in job.error.splitlines()]
    assert told == [["funding", "rate_limited"], ["transfers", "rate_limited"]]
    reconciled_at = AccountState.objects.get().reconciled_at
    assert reconciled_at is not None
    assert reconciled_at >= job.started_at
    AccountState.objects.update(**unread)
    account_sync(account=read_up.account, actor=ACTOR, asks_transfers=True)  # a loss may be one
    state = AccountState.objects.get()
    assert (state.funding_at, state.transfers_at is None) == (None, False)


def test_c01_an_order_of_unknown_fate_is_looked_for_though_reads_are_used_up(
    read_up: Stage,
) -> None:
    read_up.fault(FaultKind.RESET, "POST", "order")
    intent = read_up.wish()
    assert read_up.submit(intent) == ("submitted", "unknown")
    assert looked(read_up, thorough=False) != "success"
    assert read_up.look(intent).verdict == "found"


def latest(stage: Stage) -> str:
    return str(stage.account.sync_jobs.latest("started_at").status)


@pytest.fixture
def thorough_looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each look of the sentinel was a thorough one."""
    seen: list[bool] = []

    def sync(**look: Any) -> object:
        seen.append(look["thorough"])
        return account_sync(**look)

    monkeypatch.setattr("controlplane.watchfulness.account_sync", sync)
    return seen


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    monkeypatch.setattr("controlplane.watchfulness.NOT_AGAIN_WITHIN", timedelta(0))
    return Reconciliations(ACTOR, Background()).watch


def test_j01_an_account_that_could_not_be_reached_is_looked_at_until_it_is(
    stage: Stage, watch: Callable[[], int], thorough_looks: list[bool]
) -> None:
    assert watch() == 0
    stage.fault(FaultKind.RESET, "GET", "openOrders", times=1000)
    assert stage.sync() == "partial"
    assert (watch(), latest(stage)) == (1, "partial")
    stage.mend()
    assert (watch(), latest(stage)) == (1, "success")
    assert watch() == 0
    assert thorough_looks == [True, True]


def test_j01_an_account_that_is_away_is_asked_every_two_seconds_and_not_oftener(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.fault(FaultKind.RESET, "GET", "openOrders", times=1000)
    assert stage.sync() == "partial"
    began = timezone.now()
    watch = Reconciliations(ACTOR, Background()).watch
    looks = {}
    for milliseconds in (0, 1, 1999, 2000, 3999, 4000):
        now = began + timedelta(milliseconds=milliseconds)
        clock = SimpleNamespace(now=partial(now.astimezone, UTC))
        monkeypatch.setattr("controlplane.watchfulness.timezone", clock)
        looks[milliseconds] = watch()
    assert looks == {0: 1, 1: 0, 1999: 0, 2000: 1, 3999: 0, 4000: 1}


def test_what_our_own_limits_held_back_is_no_outage(
    read_up: Stage, watch: Callable[[], int]
) -> None:
    """Else routine reads would take what is kept for recoveries by failing first."""
    assert looked(read_up, thorough=False) != "success"
    assert AccountState.objects.get().last_error_code == "rate_limited"
    assert watch() == 0


def test_c01_what_a_start_owes_is_not_queued_for_workers_besides(stage: Stage) -> None:
    later = timezone.now() + timedelta(seconds=60)
    recovery_begin(at=timezone.now(), actor=ACTOR, reason="restart")
    assert syncs_enqueue_due(now=later, actor=ACTOR) == 0
    stage.sync()
    assert syncs_enqueue_due(now=later, actor=ACTOR) == 1
