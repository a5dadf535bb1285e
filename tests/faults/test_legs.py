"""E · Legs that go wrong beside the venue's other one: unknown for long, or closed by the venue."""

import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import LazySettings
from django.utils import timezone

from accounts.models import ExchangeAccount
from accounts.services import account_sync, recovery_begin
from controlplane.sentinel import Sentinel
from hedging.domain.decision import Reason
from hedging.facts import book_facts
from hedging.models import Fill, HedgeExecution
from hedging.selectors import find_book
from markets.venues.paper.faults import Fault, FaultKind, Topic
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests.flows.test_hedge_flow import ACTOR, BOOK, Stage, settle, stage, work
from tests.flows.test_legs_flow import hedged, legs, send, trades

__all__ = ["stage"]

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal


@pytest.fixture
def lost_leg(stage: Stage) -> OrderIntent:
    """Leg A of 0.02 is filled on alpha; of leg B on beta nobody can say, a minute later."""
    long, short = legs(stage, "0.02")
    assert send(long).state == "filled"

    def fault(topic: Topic, method: str) -> None:
        broken = Fault(
            FaultKind.ANSWER, topic=topic, method=method, account="beta", accepts=False,
            status=502, times=10_000,
        )  # fmt: skip
        stage.paper.do(lambda: stage.paper.server.faults.add(broken))

    fault(Topic.PLACE, "POST")
    assert send(short).submission == "unknown"
    fault(Topic.ORDERS, "GET")
    OrderIntent.objects.filter(pk=short.pk).update(
        updated_at=timezone.now() - timedelta(seconds=61)
    )
    settle(stage)
    return short


def posts(stage: Stage) -> int:
    return sum(method == "POST" for method, path in stage.paper.gateway.requests if "order" in path)


def test_e05_a_leg_unknown_for_a_minute_is_waited_for_told_of_and_never_sent_again(
    stage: Stage, lost_leg: OrderIntent
) -> None:
    before = posts(stage)
    sentinel = Sentinel()
    stage.quote()
    for _ in range(3):
        sentinel.round()
        work()
    lost_leg.refresh_from_db()
    assert (lost_leg.state, lost_leg.submission, posts(stage)) == ("submitted", "unknown", before)
    assert not HedgeExecution.objects.exists()
    paged = MonitoringEvent.objects.get(payload__code="outcome_unknown")
    assert (paged.severity, paged.payload["intentId"]) == ("CRITICAL", str(lost_leg.pk))
    assert stage.size("alpha") == D("0.12")


def test_e05_the_other_leg_is_reduced_only_where_the_policy_says_so(
    stage: Stage, lost_leg: OrderIntent, settings: LazySettings
) -> None:
    settings.HEDGE_PROTECT_AFTER = 120
    assert (stage.evaluate(), HedgeExecution.objects.count()) == (None, 0)
    settings.HEDGE_PROTECT_AFTER = 60
    executions = hedged(stage)
    assert trades(executions) == {("alpha", "sell"): D("0.02")}
    (order,) = executions[0].intents.all()
    assert (order.reduce_only, executions[0].decision_inputs["reason"]) == (True, "OUTCOME_LOST")
    assert (stage.size("alpha"), stage.size("beta")) == (D("0.1"), D("-0.1"))
    assert (executions[-1].result, len(executions)) == ("success", 1)
    lost_leg.refresh_from_db()
    assert lost_leg.submission == "unknown"


@pytest.mark.parametrize(
    ("kind", "factor", "left"),
    [(FaultKind.LIQUIDATION, "1", "0"), (FaultKind.ADL, "0.4", "0.06")],
)
def test_e10_a_leg_closed_by_its_venue_has_the_other_one_reduced_within_ten_seconds(
    stage: Stage, kind: FaultKind, factor: str, left: str
) -> None:
    ExchangeAccount.objects.update(sync_interval_seconds=1)
    closed = Fault(kind, account="alpha", symbol="BTCUSDT", factor=D(factor))
    stage.paper.do(lambda: stage.paper.server.faults.add(closed))
    assert stage.size("alpha") == D(left)
    sentinel, until = Sentinel(), time.monotonic() + 60
    while stage.size("beta") != -D(left) and time.monotonic() < until:
        stage.quote()
        sentinel.round()
        work()
    assert (stage.size("alpha"), stage.size("beta")) == (D(left), -D(left))
    orders = OrderIntent.objects.all()
    assert {(it.account_id, it.side, it.reduce_only) for it in orders} == {("beta", "buy", True)}
    assert [it.account_id for it in Fill.objects.external()] == ["alpha"]
    told = stage.paper.do(lambda: stage.paper.server.ledger.since(kind="fill"))
    at = {it["account"]: it["atNs"] for it in told}
    assert (at["beta"] - at["alpha"]) / 1e9 < 10  # by the venue's own clock


def test_c04_a_start_hedges_no_book_before_each_of_its_accounts_was_read_anew(
    stage: Stage,
) -> None:
    """Both were moved while nobody watched: what one holds now and the other held is no delta."""
    stage.paper.move("alpha", "BTCUSDT", "0.05")
    stage.paper.move("beta", "BTCUSDT", "-0.05")
    recovery_begin(at=timezone.now(), actor=ACTOR, reason="restart")
    account_sync(account=stage.alpha, actor=ACTOR)
    book = find_book(BOOK)
    assert book is not None
    (facts,) = book_facts([book], now=timezone.now())
    assert [decision.reason for decision in facts.decisions(now=timezone.now())] == [
        Reason.ACCOUNT_UNKNOWN
    ]
    assert (stage.evaluate(), stage.orders()) == (None, [])
    account_sync(account=stage.beta, actor=ACTOR)
    assert (stage.evaluate(), stage.orders()) == (None, [])
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    account_sync(account=stage.alpha, actor=ACTOR)
    assert trades(hedged(stage)) == {("alpha", "sell"): D("0.02")}
