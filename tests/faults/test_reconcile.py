"""C, D · Reconciliation: what differs is seen, stays seen, and stops what would make it worse."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import egress
from accounts.models import AccountState, FundingPayment, Position
from accounts.services import recovery_begin
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.ids import client_order_id, uuid7
from controlplane.kernel.units import BaseAmount, Price
from controlplane.sentinel import Sentinel
from hedging.models import Fill, ReconciliationBreak
from hedging.services import break_accept, break_take, fills_record
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.types import CancelOrder, FillReport, OrderType, Side, SubmitOrder
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests.faults.conftest import ACTOR, Stage, place

D = Decimal


def breaks(kind: str, status: str = "open") -> list[ReconciliationBreak]:
    return list(ReconciliationBreak.objects.filter(kind=kind, status=status))


def distort(stage: Stage, amount: str) -> None:
    """Have the venue show another position than its trades make."""
    held = stage.paper.server.core.engine.accounts["alpha"].positions["BTCUSDT"]
    stage.paper.do(lambda: setattr(held, "size", held.size + D(amount)))


def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a difference be certain at the second look, however soon that is."""
    monkeypatch.setattr("hedging.domain.reconciliation.STEADY", timedelta(0))


def send_elsewhere(stage: Stage, client_id: str) -> None:
    """Place a resting order with the account's key, past our record."""
    client = egress.execution_client(stage.account)
    price = (stage.bid * D("0.99")).quantize(D("0.1"))
    command = SubmitOrder("BTCUSDT", Side.BUY, OrderType.LIMIT, D("0.01"), client_id, price)  # type: ignore[arg-type]
    egress.run(client.submit(command))


def test_c04_nothing_is_opened_until_the_account_is_reconciled(bare: Stage) -> None:
    assert bare.submit(first := bare.wish()) == ("failed", "none")
    assert first.reason == "ACCOUNT_NOT_RECONCILED"
    bare.sync()
    assert bare.submit(bare.wish()) == ("filled", "acknowledged")
    recovery_begin(at=timezone.now(), actor=ACTOR, reason="restart")
    assert bare.submit(again := bare.wish()) == ("failed", "none")
    assert again.reason == "ACCOUNT_NOT_RECONCILED"
    assert bare.submit(bare.wish(side="sell", reduce_only=True)) == ("filled", "acknowledged")
    bare.sync()
    assert bare.submit(bare.wish(amount=D("0.02"))) == ("filled", "acknowledged")
    bare.sync()
    bare.verify()


def test_c04_a_sentinel_that_starts_recovers_every_account_in_its_first_round(
    stage: Stage,
) -> None:
    sentinel = Sentinel()
    sentinel._owes_recovery = True  # as `run` does
    before = AccountState.objects.get().reconciled_at
    reports = {report.name: report for report in sentinel.round()}
    assert (reports["recovery"].done, reports["reconciliations"].done) == (1, 1)
    state = AccountState.objects.get()
    assert before is not None
    assert state.recovery_at is not None
    assert state.reconciled_at is not None
    assert before < state.recovery_at <= state.reconciled_at


def test_a_reconciliation_that_is_too_old_arms_nothing(stage: Stage) -> None:
    AccountState.objects.update(reconciled_at=timezone.now() - timedelta(seconds=61))
    stage.submit(intent := stage.wish())
    assert intent.reason == "ACCOUNT_NOT_RECONCILED"
    assert stage.requests("POST", "order") == 0


@pytest.mark.parametrize("path", ["openOrders", "/fapi/v3/account"])
def test_c09_a_failed_query_at_the_start_is_never_read_as_nothing(bare: Stage, path: str) -> None:
    bare.fault(FaultKind.ANSWER, "GET", path, accepts=False, times=1000, status=502)
    assert bare.sync() == "partial"
    bare.submit(intent := bare.wish())
    assert intent.reason == "ACCOUNT_NOT_RECONCILED"
    bare.mend()
    bare.sync()
    assert bare.submit(bare.wish()) == ("filled", "acknowledged")
    bare.sync()
    bare.verify()


def test_c06_orders_and_trades_of_others_are_external_and_never_ours(stage: Stage) -> None:
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    send_elsewhere(stage, "somebody-else")
    stage.sync()
    (fill,) = Fill.objects.all()
    assert (fill.intent, str(fill.origin)) == (None, "external")
    assert Position.objects.get().size == D("0.52")
    (found,) = breaks("external-order")
    assert (found.severity, found.details["origin"]) == ("WARN", "external")
    stage.sync()
    (again,) = breaks("external-order")  # opened once, and seen again
    assert (again.pk, again.seen_at > found.seen_at) == (found.pk, True)
    client = egress.execution_client(stage.account)
    egress.run(client.cancel(CancelOrder("BTCUSDT", "somebody-else")))
    stage.sync()
    assert breaks("external-order") == []
    (closed,) = breaks("external-order", "resolved")
    assert closed.closed_at is not None
    assert not OrderIntent.objects.filter(filled_amount__gt=0).exists()
    stage.verify()


def test_an_order_of_ours_that_the_database_has_not_is_a_critical_break(stage: Stage) -> None:
    send_elsewhere(stage, client_order_id(uuid7()))
    stage.sync()
    (found,) = breaks("order-unknown-to-us")
    assert found.severity == "CRITICAL"
    event = MonitoringEvent.objects.get(payload__breakId=str(found.pk))
    assert (event.severity, event.account_id) == ("CRITICAL", "alpha")


def test_c06_ids_of_others_that_no_record_can_keep_cost_no_look(stage: Stage) -> None:
    send_elsewhere(stage, "somebody-else")
    stage.fault(
        FaultKind.POISON, "GET", "openOrders", find=b"somebody-else", put=b"x" * 500 + b"\\u0000"
    )
    assert stage.sync() == "success"
    (found,) = breaks("external-order")
    assert found.details["clientOrderId"] == "x" * 64
    at = timezone.now()
    told = FillReport(
        venue_symbol="BTCUSDT",
        trade_id="1",
        venue_order_id="7",
        client_order_id="\x00" + "y" * 500,
        side=Side.BUY,
        amount=BaseAmount(D("0.01")),
        price=Price(D("60000")),
        fee=D(0),
        fee_asset="USDT",
        is_maker=False,
        at=at,
    )
    (fill,) = fills_record(account_id="alpha", reports=[told], actor=ACTOR)
    assert fill.client_order_id == "\ufffd" + "y" * 63
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")


@pytest.mark.parametrize("amount", ["0.03", "-0.03", "-1", "-0.5"])
def test_c07_a_position_that_trades_do_not_explain_stops_more_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, amount: str
) -> None:
    resting = stage.rest()
    stage.submit(resting)
    steady(monkeypatch)
    distort(stage, amount)
    stage.sync()
    stage.sync()
    (found,) = breaks("position-mismatch")
    assert (found.severity, found.details["unexplained"]) == ("CRITICAL", amount)
    stage.submit(intent := stage.wish())
    assert intent.reason == "POSITION_DISPUTED"
    assert place(resting) == ("submitted", "acknowledged")  # working orders are kept

    machine = Actor(name="job", surface=Surface.JOB)
    with pytest.raises(Denied, match="PERSON_REQUIRED"):
        break_accept(reconciliation_break=found, actor=machine, reason="x")
    user = User.objects.create_user("ann")
    ann = Actor(name="ann", surface=Surface.ADMIN, user_id=user.pk)
    break_take(reconciliation_break=found, actor=ann, reason="mine")
    break_accept(reconciliation_break=found, actor=ann, reason="moved by the venue")
    with pytest.raises(Conflict):
        break_accept(reconciliation_break=found, actor=ann, reason="again")
    stage.sync()
    assert breaks("position-mismatch") == []
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")


def test_c07_a_position_that_agrees_again_closes_its_break(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady(monkeypatch)
    distort(stage, "0.03")
    stage.sync()
    stage.sync()
    assert len(breaks("position-mismatch")) == 1
    distort(stage, "-0.03")
    stage.sync()
    assert breaks("position-mismatch") == []
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")


def test_d01_a_trade_told_over_and_over_is_booked_once(stage: Stage) -> None:
    intent = stage.wish()
    stage.submit(intent)
    for _ in range(3):
        stage.sync()
    assert Fill.objects.filter(intent=intent).count() == 1
    stage.verify()


@pytest.mark.parametrize("known", ["nothing", "the amount"])
def test_a_trade_whose_writer_died_reaches_its_intent_when_it_is_told_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """`known`: what the order's own answer had told of the trade before."""
    intent = stage.wish() if known == "the amount" else stage.rest()
    stage.submit(intent)
    if known == "nothing":
        price = intent.price
        assert price is not None
        stage.paper.do(lambda: stage.paper.server.core.jump("BTCUSDT", price - 50))
    intent.refresh_from_db()
    assert (intent.filled_amount > 0) == (known == "the amount")
    with monkeypatch.context() as dying:
        dying.setattr("hedging.services.fills._apply", dies)
        stage.sync()
    trade = Fill.objects.get(intent=intent)
    stage.sync()
    intent.refresh_from_db()
    assert (intent.state, intent.filled_amount) == ("filled", trade.amount)
    assert intent.fee == trade.fee > 0
    assert Fill.objects.get() == trade


def test_trades_of_a_look_that_died_are_read_again_however_old_they_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    AccountState.objects.update(fills_at=timezone.now() - timedelta(minutes=10))  # all was down
    ago = Fault(FaultKind.CLOCK_OFFSET, offset_ms=-300_000)
    stage.paper.do(lambda: stage.paper.server.faults.add(ago))
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    stage.mend()
    with monkeypatch.context() as dying:
        dying.setattr("accounts.observations.publish", dies)
        with pytest.raises(RuntimeError):
            stage.sync()
    assert not Fill.objects.exists()
    stage.sync()
    assert Fill.objects.get().amount == D("0.02")
    stage.verify()


def test_trades_that_could_not_be_recorded_are_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    AccountState.objects.update(fills_at=timezone.now() - timedelta(minutes=10))
    ago = Fault(FaultKind.CLOCK_OFFSET, offset_ms=-300_000)
    stage.paper.do(lambda: stage.paper.server.faults.add(ago))
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    stage.mend()
    with monkeypatch.context() as failing:
        failing.setattr("hedging.services.fills.commit_without_waiting", dies)
        stage.sync()
    assert not Fill.objects.exists()
    stage.sync()
    assert Fill.objects.get().amount == D("0.02")
    stage.verify()


def test_a_look_writes_its_trades_once(stage: Stage) -> None:
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    with CaptureQueriesContext(connection) as captured:
        stage.sync()
    written = [it for it in captured.captured_queries if 'INSERT INTO "hedging_fill"' in it["sql"]]
    assert len(written) == 1
    assert Fill.objects.get().amount == D("0.02")


def dies(*args: object, **named: object) -> None:
    raise RuntimeError("killed between the two")


def test_d04_a_fill_after_the_cancel_was_acknowledged_is_booked(stage: Stage) -> None:
    intent = stage.rest()
    stage.submit(intent)
    price = intent.price
    assert price is not None
    core = stage.paper.server.core
    stage.paper.do(lambda: core.jump("BTCUSDT", price - 50))
    OrderIntent.objects.filter(pk=intent.pk).update(state="cancelled")  # what the ack told us
    stage.sync()
    stage.sync()
    assert place(intent) == ("filled", "acknowledged")
    assert Position.objects.get().size == D("0.51")
    stage.verify()


def test_d08_every_funding_payment_is_booked_once_whatever_was_missed(stage: Stage) -> None:
    core = stage.paper.server.core
    engine = core.engine
    market = engine.markets["BTCUSDT"]
    for rate in ("0.0001", "-0.0002", "0.0003"):  # while we were down, the sign turning
        market.funding_rate = D(rate)
        stage.paper.do(
            lambda: engine.settle_funding(
                "BTCUSDT", now_ns=core.now_ns(), next_ns=market.next_funding_ns
            )
        )
    for _ in range(2):
        earlier = timezone.now() - timedelta(minutes=6)
        AccountState.objects.update(funding_at=earlier, funding_begun_at=earlier)
        stage.sync()
    told = stage.ledger("income")
    assert len(told) == 3
    booked = FundingPayment.objects.all()
    assert {(row.payment_id, row.amount) for row in booked} == {
        (str(entry["incomeId"]), D(entry["amount"]).quantize(D("1e-8"))) for entry in told
    }
    assert booked.count() == 3


CHILD = """
import os, signal, sys
import django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[2]
from accounts import egress
from controlplane.base.audit import Actor, Surface
from strategies import execution, services

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "between claim and send":
    egress.begin = die
elif sys.argv[3] == "between send and answer":
    send = egress.begin
    egress.begin = lambda work: die(send(work).result())
else:
    services.report_move = die
execution.intent_submit(intent_id=sys.argv[1], actor=Actor(name="child", surface=Surface.JOB))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["between claim and send", "between send and answer", "after the answer"]
)
def test_c01_a_killed_worker_leaves_one_order_or_proof_of_none(
    stage: Stage, later: Callable[[float], None], moment: str
) -> None:
    intent = stage.wish()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(intent.pk), connection.settings_dict["NAME"], moment],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
        timeout=100,
        capture_output=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert place(intent) == ("submitted", "sending")
    Sentinel().round()  # the boot sweep, then the first look
    was_sent = moment != "between claim and send"
    if not was_sent:
        assert place(intent) == ("submitted", "unknown")
        for seconds in (25, 31):
            later(seconds)
            stage.look(intent)
    assert place(intent) == (("filled", "acknowledged") if was_sent else ("failed", "none"))
    stage.submit(intent)
    stage.sync()
    assert stage.requests("POST", "order") == was_sent
    stage.verify()


def test_the_command_reconciles_now_and_tells_by_its_exit_code(stage: Stage) -> None:
    out = StringIO()
    call_command("reconcile", "alpha", "--json", stdout=out)
    (told,) = json.loads(out.getvalue())["accounts"]
    assert told == {"accountId": "alpha", "mayTrade": True, "error": "", "breaks": []}
    send_elsewhere(stage, "somebody-else")
    out = StringIO()
    with pytest.raises(CommandError) as differs:
        call_command("reconcile", "--json", stdout=out)
    assert differs.value.returncode == 1
    (told,) = json.loads(out.getvalue())["accounts"]
    assert [row["kind"] for row in told["breaks"]] == ["external-order"]
    with pytest.raises(CommandError) as unknown:
        call_command("reconcile", "nobody")
    assert unknown.value.returncode == 2


def test_the_command_closes_no_unknown_order(stage: Stage) -> None:
    intent = stage.wish()
    stage.fault(FaultKind.RESET, "POST", "order", accepts=False)
    stage.submit(intent)
    with pytest.raises(CommandError, match="PERSON_REQUIRED") as refused:
        call_command("reconcile", "--close", str(intent.pk))
    assert refused.value.returncode == 2
    assert place(intent) == ("submitted", "unknown")
