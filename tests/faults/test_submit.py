"""A · Order submit: what is lost on the way is found again, and nothing is ever sent twice."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from accounts import egress
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.units import BaseAmount
from controlplane.sentinel import Sentinel
from hedging.models import Fill, ResolutionStep
from hedging.services import resolving
from markets.venues.errors import OutcomeUnknown
from markets.venues.paper.faults import FaultKind
from markets.venues.types import OrderType, Side, SubmitOrder
from monitoring.models import MonitoringEvent
from strategies import closing, execution
from strategies.models import OrderIntent, QuarantinedAnswer, UnknownClosure
from strategies.services import reports
from tests.faults.conftest import ACTOR, Stage, place

D = Decimal
LOST = ("submitted", "unknown")
NOT_ACCEPTED = {
    "by_id": "not-found",
    "listed": "not-found",
    "trades": "not-found",
    "position": "not-found",
}


def lose_reply(stage: Stage, kind: FaultKind = FaultKind.RESET, **fields: Any) -> None:
    stage.fault(kind, "POST", "order", **fields)


@pytest.mark.parametrize("shape", ["market", "post-only", "reduce-only"])
def test_a01_an_accepted_order_whose_reply_is_lost_is_found_and_never_sent_again(
    stage: Stage, shape: str
) -> None:
    intent = {
        "market": stage.wish,
        "post-only": stage.rest,
        "reduce-only": lambda: stage.wish(side="sell", reduce_only=True),
    }[shape]()
    lose_reply(stage)
    assert stage.submit(intent) == LOST
    assert stage.submit(intent) == LOST  # the queue delivers the job again
    step = stage.look(intent)
    expected = ("submitted" if shape == "post-only" else "filled", "acknowledged")
    assert (step.by_id, step.verdict, place(intent)) == ("found", "found", expected)
    stage.sync()
    assert stage.requests("POST", "order") == 1
    stage.verify()


def test_a01_the_sentinel_finds_it_in_its_next_round(stage: Stage) -> None:
    intent = stage.wish()
    lose_reply(stage)
    stage.submit(intent)
    reports = {report.name: report for report in Sentinel().round()}
    assert (reports["unknown"].done, reports["unknown"].error) == (1, "")
    assert place(intent) == ("filled", "acknowledged")
    stage.sync()
    stage.verify()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"<html>", b'{"orderId": NaN}', b'{"orderId": 1, "sym']
)
def test_a03_an_answer_without_sense_is_unknown_and_kept(stage: Stage, body: bytes) -> None:
    intent = stage.wish()
    lose_reply(stage, FaultKind.ANSWER, body=body)
    assert stage.submit(intent) == LOST
    assert intent.filled_amount == 0
    assert [answer.body for answer in QuarantinedAnswer.objects.all()] == (
        [body.decode()] if body else []
    )
    stage.look(intent)
    assert place(intent) == ("filled", "acknowledged")
    stage.sync()
    stage.verify()


LIES: dict[str, dict[str, Any]] = {
    "another symbol": {"symbol": "ETHUSDT"},
    "another client's id": {"clientOrderId": "SOMEBODYELSE"},
    "negative": {"executedQty": "-1"},
    "999 times filled": {"executedQty": "9.99"},
    "no finite number": {"origQty": "1e400"},
    "unknown status": {"status": "SHINY"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a17_a_poisoned_answer_is_quarantined_masked_and_alerted(stage: Stage, lie: str) -> None:
    intent = stage.wish()
    honest = {
        "orderId": 7, "symbol": "BTCUSDT", "status": "FILLED", "price": "0", "avgPrice": "60000",
        "clientOrderId": intent.client_order_id, "origQty": "0.01", "executedQty": "0.01",
        "cumQuote": "600", "timeInForce": "GTC", "type": "MARKET", "reduceOnly": False,
        "side": "BUY", "positionSide": "BOTH", "updateTime": 1_795_000_000_000,
        "echo": "secret-alpha",
    }  # fmt: skip
    lose_reply(stage, FaultKind.ANSWER, body=json.dumps({**honest, **LIES[lie]}).encode())
    assert stage.submit(intent) == LOST
    kept = QuarantinedAnswer.objects.get()
    assert str(next(iter(LIES[lie].values()))) in kept.body
    assert "secret-alpha" not in kept.body
    alert = MonitoringEvent.objects.get(payload__event="answer-quarantined")
    assert (alert.severity, alert.payload["intentId"]) == ("CRITICAL", str(intent.pk))
    stage.look(intent)
    stage.sync()
    stage.verify()


@pytest.mark.parametrize(
    "body", [b"x" * 2_000_000, b"[" * 5_000], ids=["longer than allowed", "too deep"]
)
def test_a17_of_a_huge_answer_at_most_64_kb_are_kept(stage: Stage, body: bytes) -> None:
    intent = stage.wish()
    lose_reply(stage, FaultKind.ANSWER, body=body)
    assert stage.submit(intent) == LOST
    kept = QuarantinedAnswer.objects.get().body
    assert 0 < len(kept.encode()) <= 64 * 1024
    stage.look(intent)
    stage.sync()
    stage.verify()


def test_a17_whoever_has_a_huge_answer_keeps_64_kb_of_it(stage: Stage) -> None:
    huge, most = b"x" * 70_000, 64 * 1024
    assert len(OutcomeUnknown("no sense in it", body=huge).body) == most
    lose_reply(stage, FaultKind.ANSWER, body=huge, status=502)
    lost = SubmitOrder("BTCUSDT", Side.BUY, OrderType.MARKET, BaseAmount(D("0.01")), "lost")
    with pytest.raises(OutcomeUnknown) as refused:
        egress.run(egress.execution_client(stage.account).submit(lost))
    assert (len(refused.value.body), refused.value.status) == (most, 502)
    reports.answer_quarantine(intent=stage.wish(), reason="no sense", body=huge, actor=ACTOR)
    assert len(QuarantinedAnswer.objects.get().body) == most


def test_a04_while_queries_fail_it_stays_unknown_and_reserved_and_pages(
    stage: Stage, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "LOOK_SECONDS", 0.3)
    intent = stage.wish()
    lose_reply(stage)
    stage.submit(intent)
    stage.fault(FaultKind.HANG, "GET", "order", accepts=False, times=1000)
    for seconds in (1, 30, 60, 120):
        later(seconds)
        step = stage.look(intent)
        assert (step.by_id, step.verdict, place(intent)) == ("unanswered", "unknown", LOST)
    assert stage.submit(blocked := stage.wish()) == ("failed", "none")
    assert blocked.reason == "ORDER_OUTCOME_UNKNOWN"
    assert stage.submit(stage.wish(side="sell", reduce_only=True)) == ("filled", "acknowledged")

    OrderIntent.objects.filter(pk=intent.pk).update(
        updated_at=timezone.now() - timedelta(seconds=61)
    )
    Sentinel().round()
    page = MonitoringEvent.objects.get(payload__code="outcome_unknown")
    assert page.severity == "CRITICAL"

    stage.mend()
    stage.look(intent)
    assert place(intent) == ("filled", "acknowledged")
    stage.sync()
    stage.verify()


def never_accepted(stage: Stage) -> OrderIntent:
    intent = stage.wish()
    lose_reply(stage, accepts=False)
    assert stage.submit(intent) == LOST
    return intent


def test_not_accepted_needs_two_looks_apart_after_the_expiry(
    stage: Stage, later: Callable[[float], None]
) -> None:
    intent = never_accepted(stage)
    early = stage.look(intent)
    assert (early.by_id, early.listed, early.verdict) == ("not-found", "not-asked", "unknown")
    later(25)
    first = stage.look(intent)
    assert {name: getattr(first, name) for name in NOT_ACCEPTED} == NOT_ACCEPTED
    assert (first.verdict, place(intent)) == ("unknown", LOST)
    later(26)
    assert stage.look(intent).verdict == "unknown"  # too soon after the first
    later(31)
    assert stage.look(intent).verdict == "not-accepted"
    assert place(intent) == ("failed", "none")
    assert ResolutionStep.objects.filter(intent=intent).count() == 4
    stage.verify()


def test_a_trade_that_nobody_explains_is_no_proof_of_absence(
    stage: Stage, later: Callable[[float], None]
) -> None:
    intent = never_accepted(stage)
    stage.paper.move("alpha", "BTCUSDT", "0.01")
    for seconds in (25, 31, 37):
        later(seconds)
        step = stage.look(intent)
        assert (step.trades, step.verdict) == ("unclear", "unknown")
    assert place(intent) == LOST
    stage.verify()


def test_a_position_that_trades_do_not_explain_is_no_proof_of_absence(
    stage: Stage, later: Callable[[float], None]
) -> None:
    intent = never_accepted(stage)
    held = stage.paper.server.core.engine.accounts["alpha"].positions["BTCUSDT"]
    stage.paper.do(lambda: setattr(held, "size", held.size + D("0.01")))
    for seconds in (25, 31):
        later(seconds)
        step = stage.look(intent)
        assert (step.position, step.verdict) == ("unclear", "unknown")
    assert place(intent) == LOST


def test_an_answer_missing_between_is_no_proof_of_absence(
    stage: Stage, later: Callable[[float], None]
) -> None:
    intent = never_accepted(stage)
    stage.fault(FaultKind.ANSWER, "GET", "openOrders", accepts=False, times=1000, status=502)
    for seconds in (25, 31):
        later(seconds)
        step = stage.look(intent)
        assert (step.by_id, step.listed, step.verdict) == ("not-found", "unanswered", "unknown")
    assert place(intent) == LOST
    stage.verify()


def test_a07_a_cancel_of_what_was_filled_books_the_fill(stage: Stage) -> None:
    intent = stage.rest()
    assert stage.submit(intent) == ("submitted", "acknowledged")
    price = intent.price
    assert price is not None
    core = stage.paper.server.core
    stage.paper.do(lambda: core.jump("BTCUSDT", price - 50))  # nobody told us yet
    stage.sync()  # it is not listed any more: asked for by its id
    assert place(intent) == ("filled", "acknowledged")
    assert Fill.objects.filter(intent=intent).count() == 1
    stage.verify()


def test_an_end_that_nobody_told_of_is_learnt_by_asking_for_the_order_by_its_id(
    stage: Stage,
) -> None:
    intent = stage.rest()
    assert stage.submit(intent) == ("submitted", "acknowledged")
    engine = stage.paper.server.core.engine
    account = engine.accounts["alpha"]

    def end() -> None:
        for order in list(account.open_orders.values()):
            engine.cancel(account, order, now_ns=time.time_ns())

    stage.paper.do(end)
    OrderIntent.objects.update(acknowledged_at=timezone.now() - timedelta(seconds=3))
    stage.sync()
    assert place(intent) == ("cancelled", "acknowledged")


def test_a13_an_answer_that_the_id_exists_already_is_no_reject(stage: Stage) -> None:
    intent = stage.wish()
    told = {"code": -4116, "msg": "clientOrderId is duplicated"}
    lose_reply(stage, FaultKind.ANSWER, status=400, body=json.dumps(told).encode())
    assert stage.submit(intent) == LOST
    stage.look(intent)
    assert place(intent) == ("filled", "acknowledged")
    stage.sync()
    stage.verify()


def test_a_claim_that_was_held_up_is_not_sent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SEND_WITHIN", timedelta(0))
    assert stage.submit(intent := stage.wish()) == ("failed", "none")
    assert intent.reason.startswith("CLAIM_TOO_OLD")
    assert stage.requests("POST", "order") == 0


# By hand


def person(name: str) -> Actor:
    user = User.objects.create_user(name)
    return Actor(name=name, surface=Surface.ADMIN, user_id=user.pk)


def test_an_unknown_order_is_closed_by_two_people_only(stage: Stage) -> None:
    intent = never_accepted(stage)
    ann, ben = person("ann"), person("ben")
    machine = Actor(name="reconcile", surface=Surface.COMMAND)
    with pytest.raises(Denied, match="PERSON_REQUIRED"):
        closing.close_propose(intent=intent, actor=machine, reason="gone")
    with pytest.raises(Denied, match="REASON_REQUIRED"):
        closing.close_propose(intent=intent, actor=ann, reason=" ")
    with pytest.raises(Conflict, match="Nobody has proposed"):
        closing.close_confirm(intent=intent, actor=ben, reason="seen")
    closing.close_propose(intent=intent, actor=ann, reason="the venue's support says so")
    with pytest.raises(Denied, match="SECOND_PERSON_REQUIRED"):
        closing.close_confirm(intent=intent, actor=ann, reason="me again")
    assert place(intent) == LOST
    closing.close_confirm(intent=intent, actor=ben, reason="looked myself")
    assert place(intent) == ("failed", "none")
    assert "the venue's support says so" in intent.reason
    closure = UnknownClosure.objects.get()
    assert (closure.proposed_by.username, closure.confirmed_by.username) == ("ann", "ben")  # type: ignore[union-attr]
    stage.verify()


def test_what_was_closed_by_hand_and_shows_up_after_all_is_booked(stage: Stage) -> None:
    intent = stage.wish()
    lose_reply(stage)
    stage.submit(intent)
    closing.close_propose(intent=intent, actor=person("ann"), reason="gone")
    closing.close_confirm(intent=intent, actor=person("ben"), reason="gone")
    stage.sync()
    assert place(intent) == ("filled", "acknowledged")
    stage.verify()
