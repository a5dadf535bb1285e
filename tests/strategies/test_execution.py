"""One intent, at most one order, whatever happens to the send."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django_q.models import OrmQ

from accounts import egress
from accounts.models import ExchangeAccount
from accounts.observations import OrdersSeen
from markets.venues.errors import (
    AuthenticationFailed,
    MissingCredential,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
)
from markets.venues.types import CancelOrder, OrderReport, SubmitOrder
from monitoring.models import MonitoringEvent
from strategies import claims, execution, observing, services, workers
from strategies.domain.intent import IntentEvent
from strategies.jobs import ResolveIntent
from strategies.models import OrderIntent
from tests.strategies.conftest import Stage, VenueThread
from tests.strategies.sending import Line, echo, place, raising, submit

D = Decimal


# At the venue


def test_a_market_order_is_filled_at_the_venue(live: Stage, paper: VenueThread) -> None:
    intent = submit(live, live.wish())
    assert place(intent) == ("filled", "acknowledged")
    assert intent.filled_amount == D("0.01")
    assert intent.venue_order_id
    assert intent.average_price is not None
    assert intent.acknowledged_at is not None
    assert intent.claimed_by == workers.worker_name()
    [order] = paper.accepted()
    assert order["params"]["newClientOrderId"] == intent.client_order_id
    assert order["params"]["quantity"] == "0.01"


def test_a_resting_order_is_acknowledged_and_open(live: Stage, paper: VenueThread) -> None:
    intent = submit(live, live.wish(type="post-only", price=D("59900")))
    assert place(intent) == ("submitted", "acknowledged")
    assert len(paper.accepted()) == 1


def test_a_venue_reject_keeps_the_venues_words(live: Stage, paper: VenueThread) -> None:
    intent = submit(live, live.wish(reduce_only=True))
    assert place(intent) == ("failed", "acknowledged")
    assert intent.reason == "-2022: ReduceOnly Order is rejected."
    assert paper.accepted() == []


def at_once(stage: Stage, intents: list[OrderIntent]) -> None:
    """Submit every intent in a thread of its own, all at the same moment."""
    start = threading.Barrier(len(intents))

    def work(intent: OrderIntent) -> None:
        try:
            start.wait()
            execution.intent_submit(intent_id=intent.pk, actor=stage.actor)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(intents)) as pool:
        list(pool.map(work, intents))  # raises what a worker raised


@pytest.mark.django_db(transaction=True)
def test_many_workers_with_one_intent_send_one_order(live: Stage, paper: VenueThread) -> None:
    intent = live.wish()
    at_once(live, [intent] * 8)
    intent.refresh_from_db()
    assert place(intent) == ("filled", "acknowledged")
    assert intent.claim_fence == 1
    assert len(paper.orders()) == 1


@pytest.mark.django_db(transaction=True)
def test_claims_of_one_account_reserve_one_after_the_other(live: Stage, paper: VenueThread) -> None:
    ExchangeAccount.objects.filter(pk=live.account.pk).update(max_position_value=D(1000))
    at_once(live, [live.wish() for _ in range(4)])  # 600 USD each: there is room for one
    states = sorted(OrderIntent.objects.values_list("state", flat=True))
    assert states == ["failed", "failed", "failed", "filled"]
    assert len(paper.orders()) == 1


# What the send's end proves


@pytest.mark.parametrize(
    ("error", "expected", "reason", "severity"),
    [
        (
            VenueRejected("-2019", "Margin is insufficient."),
            ("failed", "acknowledged"),
            "-2019: Margin is insufficient.",
            "WARN",
        ),
        (NotSent("refused"), ("failed", "none"), "not_sent: refused", "WARN"),
        (
            RateLimited("Too many requests.", retry_after=7),
            ("failed", "none"),
            "rate-limited: Too many requests.",
            "WARN",
        ),
        (MissingCredential("no key"), ("failed", "none"), "missing_credential: no key", "WARN"),
        (
            AuthenticationFailed("Invalid key."),
            ("failed", "acknowledged"),
            "authentication_failed: Invalid key.",
            "CRITICAL",
        ),
        (OutcomeUnknown("cut off"), ("submitted", "unknown"), "outcome_unknown: cut off", "WARN"),
        (
            VenueUnavailable("502"),
            ("submitted", "unknown"),
            "venue_unavailable: 502",
            "WARN",
        ),
        (ValueError("a bug"), ("submitted", "unknown"), "ValueError('a bug')", "WARN"),
    ],
)
def test_each_error_leads_to_its_place(
    still: Stage,
    on_the_line: Callable[..., Line],
    error: Exception,
    expected: tuple[str, str],
    reason: str,
    severity: str,
) -> None:
    line = on_the_line(raising(error))
    intent = submit(still, still.wish())
    assert place(intent) == expected
    assert intent.reason == reason
    assert MonitoringEvent.objects.filter(type="order").latest("event_id").severity == severity
    submit(still, intent)
    assert len(line.sent) == 1


@pytest.mark.django_db
def test_a_refused_key_pauses_the_account(still: Stage, on_the_line: Callable[..., Line]) -> None:
    line = on_the_line(raising(AuthenticationFailed("Invalid key.")))
    submit(still, still.wish())
    still.account.refresh_from_db()
    assert still.account.status == "paused"
    assert submit(still, still.wish()).reason == "ACCOUNT_NOT_ACTIVE"
    submit(still, still.wish(reduce_only=True))  # refused again; the account stays paused
    assert len(line.sent) == 2


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_a_worker_told_to_end_leaves_the_order_unknown(
    still: Stage, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    calls = []

    def interrupted(work: Coroutine[Any, Any, Any]) -> None:
        work.close()
        calls.append(1)
        raise error

    monkeypatch.setattr(egress, "begin", interrupted)
    intent = still.wish()
    with pytest.raises(type(error)):
        submit(still, intent)
    intent.refresh_from_db()
    assert place(intent) == ("submitted", "unknown")
    submit(still, intent)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "lie",
    [{"client_order_id": "x"}, {"filled": D("9.99")}, {"venue_order_id": ""}, {"amount": D(1)}],
)
def test_an_answer_about_another_order_leaves_ours_unknown(
    still: Stage, on_the_line: Callable[..., Line], lie: dict[str, Any]
) -> None:
    on_the_line(lambda command: echo(command, **lie))
    intent = submit(still, still.wish())
    assert place(intent) == ("submitted", "unknown")
    assert (intent.filled_amount, intent.venue_order_id) == (0, "")


@pytest.mark.django_db(transaction=True)
def test_an_order_seen_by_the_stream_beats_a_lost_answer(
    still: Stage, on_the_line: Callable[..., Line]
) -> None:
    intent = still.wish()

    def seen_then_cut(command: SubmitOrder) -> OrderReport:
        thread = threading.Thread(target=stream, args=(command,))
        thread.start()
        thread.join()
        raise OutcomeUnknown("cut off")

    def stream(command: SubmitOrder) -> None:
        try:
            services.order_report_apply(intent=intent, report=echo(command), actor=still.actor)
        finally:
            connections.close_all()

    on_the_line(seen_then_cut)
    assert place(submit(still, intent)) == ("submitted", "acknowledged")


@pytest.mark.django_db(transaction=True)
def test_the_claim_is_committed_before_the_first_byte(
    still: Stage, on_the_line: Callable[..., Line]
) -> None:
    intent = still.wish()
    seen = []

    def look(command: SubmitOrder) -> OrderReport:
        def read() -> None:
            seen.append(OrderIntent.objects.get(pk=intent.pk))
            connections.close_all()

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        return echo(command)

    on_the_line(look)
    submit(still, intent)
    [claimed] = seen
    assert place(claimed) == ("submitted", "sending")
    assert claimed.claim_fence == 1
    assert claimed.signed_at is not None
    assert claimed.expires_at == claimed.signed_at + timedelta(seconds=10)


# After a crash


def claimed(stage: Stage, **fields: Any) -> OrderIntent:
    locked = services.intent_locked(stage.wish().pk)
    return services.intent_move(
        locked,
        IntentEvent.CLAIM,
        actor=stage.actor,
        **{
            "claim_fence": 1,
            "claimed_by": workers.worker_name(),
            "signed_at": datetime.now(UTC),
            "expires_at": datetime.now(UTC) + timedelta(seconds=10),
            **fields,
        },
    )


def test_the_sweep_leaves_a_send_under_way_alone(still: Stage) -> None:
    intent = claimed(still)
    assert claims.claims_recover(now=datetime.now(UTC), actor=still.actor) == []
    intent.refresh_from_db()
    assert place(intent) == ("submitted", "sending")


def test_the_sweep_calls_an_expired_send_unknown(still: Stage) -> None:
    intent = claimed(still)
    later = datetime.now(UTC) + timedelta(seconds=11)
    assert claims.claims_recover(now=later, actor=still.actor) == [intent]
    intent.refresh_from_db()
    assert place(intent) == ("submitted", "unknown")
    assert claims.claims_recover(now=later, actor=still.actor) == []


CHILD = """
import json, os, signal, sys
import django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[2]
from accounts import egress
from accounts.observations import OrdersSeen
from controlplane.base.audit import Actor, Surface
from strategies import execution

def die(work):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "before":
    egress.begin = die
else:
    send = egress.begin
    egress.begin = lambda work: die(send(work).result())
execution.intent_submit(intent_id=sys.argv[1], actor=Actor(name="child", surface=Surface.JOB))
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_round_the_send_leaves_one_question_and_no_second_order(
    live: Stage, paper: VenueThread, moment: str
) -> None:
    intent = live.wish()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(intent.pk), connection.settings_dict["NAME"], moment],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
        timeout=60,
        capture_output=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    intent.refresh_from_db()
    assert place(intent) == ("submitted", "sending")

    submit(live, intent)  # the queue delivers the job again
    assert place(intent) == ("submitted", "sending")
    claims.claims_recover(now=datetime.now(UTC), actor=live.actor)
    submit(live, intent)
    assert place(intent) == ("submitted", "unknown")

    execution.unknown_resolve(intent=intent, actor=live.actor)
    intent.refresh_from_db()
    reached = 1 if moment == "after" else 0
    assert len(paper.orders()) == reached
    assert place(intent) == (("filled", "acknowledged") if reached else ("submitted", "unknown"))


def test_not_found_proves_nothing_yet(still: Stage, on_the_line: Callable[..., Line]) -> None:
    on_the_line(raising(OutcomeUnknown("cut off")))
    intent = submit(still, still.wish())
    before = OrderIntent.objects.values().get(pk=intent.pk)
    execution.unknown_resolve(intent=intent, actor=still.actor)
    assert OrderIntent.objects.values().get(pk=intent.pk) == before


def test_an_order_no_longer_listed_is_asked_for(live: Stage, paper: VenueThread) -> None:
    intent = submit(live, live.wish(type="post-only", price=D("59900")))
    at = datetime.now(UTC)
    seen = OrdersSeen(live.account.pk, (), all_open=True, at=at)
    observing.orders_seen(seen)
    assert OrmQ.objects.count() == 0, "an order just placed may not be listed yet"

    observing.orders_seen(replace(seen, at=at + timedelta(seconds=3)))
    assert [row.task["args"][:2] for row in OrmQ.objects.all()] == [
        ("orders.resolve", {"intent_id": str(intent.pk)})
    ]
    client = egress.execution_client(live.account)
    egress.run(client.cancel(CancelOrder("BTCUSDT", intent.client_order_id)))
    ResolveIntent().run(intent_id=str(intent.pk))
    intent.refresh_from_db()
    assert place(intent) == ("cancelled", "acknowledged")


def test_worker_names_tell_the_dead_from_the_living() -> None:
    assert not workers.is_dead(workers.worker_name())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host, _pid, _start = workers.worker_name().split(":")
    child.kill()
    child.wait()
    assert workers.is_dead(f"{host}:{child.pid}:1")
    assert not workers.is_dead(f"elsewhere:{child.pid}:1")
    assert workers.is_dead(f"{host}:{os.getpid()}:another-start")
    assert json.dumps(workers.worker_name())
