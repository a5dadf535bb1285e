"""A08 · Maker-first hedges: they rest, are cancelled in time, and never live beside another."""

import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.conf import LazySettings

from accounts.models import ExchangeAccount
from controlplane.faults import oracle
from controlplane.faults.oracle import VenueLedger
from controlplane.sentinel import Sentinel
from hedging.choices import TriggerReason
from hedging.domain.decision import Decision, Reason, Verdict
from hedging.domain.making import HedgeStyle, MakerTerms, maker_seconds, style_of
from hedging.models import Fill, HedgeExecution
from markets.venues.paper.faults import Fault, FaultKind, Topic
from markets.venues.paper.rules import Reason as Reject
from strategies.models import StrategyModule
from tests.flows.test_hedge_flow import Stage, breach, settle, stage, work
from tests.hedging.test_decision import exposure

__all__ = ["stage"]

D = Decimal
SETTLING_SECONDS = 60
database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def maker(stage: Stage, settings: LazySettings) -> HedgeExecution:
    """A hedge of two thresholds, 0.02 BTC to sell, that rests at the best ask for no time."""
    settings.HEDGE_MAKER_SECONDS = 1
    ExchangeAccount.objects.update(delta_threshold=D("0.01"), sync_interval_seconds=1)
    made = breach(stage)
    work()
    (order,) = made.intents.all()
    market = stage.paper.server.core.engine.markets["BTCUSDT"]
    assert (order.type, order.price, order.state, order.reduce_only) == (
        "post-only", market.quote.ask, "submitted", True,
    )  # fmt: skip
    HedgeExecution.objects.update(decision_inputs=made.decision_inputs | {"makerSeconds": 0})
    return made


def finish(stage: Stage, hedge: HedgeExecution) -> HedgeExecution:
    """Let the sentinel and the workers go on until the hedge has its result."""
    sentinel, until = Sentinel(), time.monotonic() + SETTLING_SECONDS
    while hedge.result is None and time.monotonic() < until:
        stage.quote()
        sentinel.round()
        work()
        hedge.refresh_from_db()
    return hedge


def fault(stage: Stage, kind: FaultKind, **fields: Any) -> None:
    made = Fault(kind, topic=Topic.CANCEL, account="alpha", **fields)
    stage.paper.do(lambda: stage.paper.server.faults.add(made))


def orders(hedge: HedgeExecution) -> list[tuple[str, str, Decimal]]:
    rows = hedge.intents.order_by("intent_id").values_list("type", "state", "filled_amount")
    return list(rows)


def trade_at_ask(stage: Stage, size: str) -> None:
    """Somebody buys so much at our price; the market then is as before."""
    core = stage.paper.server.core
    quote = core.engine.markets["BTCUSDT"].quote
    crossed = replace(quote, bid=quote.ask, bid_size=D(size), ask=quote.ask + D("0.1"))
    stage.paper.do(lambda: core.set_quote("BTCUSDT", crossed))
    stage.paper.do(lambda: core.set_quote("BTCUSDT", quote))


def never_two_live(stage: Stage) -> None:
    """By the venue's own ledger, in its order of events: one order of ours at most is open."""
    entries = stage.paper.do(lambda: stage.paper.server.ledger.since())
    live: set[Any] = set()
    for entry in entries:
        if entry["kind"] != "order" or entry["external"]:
            continue
        is_live = entry["status"] in {"NEW", "PARTIALLY_FILLED"}
        (live.add if is_live else live.discard)(entry["orderId"])
        assert len(live) <= 1
    oracle.check([VenueLedger(stage.paper.row.pk, entries)])


@database
def test_a_resting_hedge_that_is_filled_takes_nothing(stage: Stage, maker: HedgeExecution) -> None:
    trade_at_ask(stage, "5")
    settle(stage)
    done = finish(stage, maker)
    assert orders(done) == [("post-only", "filled", D("0.02"))]
    assert (done.result, done.delta_after) == ("success", D(0))
    assert Fill.objects.get(intent__isnull=False).is_maker
    assert done.slippage_bp is not None
    assert done.slippage_bp < 0  # it earned half the spread
    never_two_live(stage)


@database
def test_what_rests_too_long_is_cancelled_and_taken(stage: Stage, maker: HedgeExecution) -> None:
    done = finish(stage, maker)
    assert orders(done) == [("post-only", "cancelled", D(0)), ("ioc", "filled", D("0.02"))]
    assert (done.result, done.delta_after, stage.size("alpha")) == ("success", D(0), D("0.1"))
    assert done.decision_inputs["style"] == "maker-then-taker"
    assert [it["type"] for it in done.orders] == ["post-only", "ioc"]
    assert HedgeExecution.objects.count() == 1
    never_two_live(stage)


@database
def test_only_what_a_partial_fill_has_left_is_taken(stage: Stage, maker: HedgeExecution) -> None:
    trade_at_ask(stage, "0.008")
    done = finish(stage, maker)
    assert orders(done) == [("post-only", "cancelled", D("0.008")), ("ioc", "filled", D("0.012"))]
    assert (done.result, stage.size("alpha")) == ("success", D("0.1"))
    never_two_live(stage)


@database
@pytest.mark.parametrize("accepts", [True, False], ids=["its answer lost", "it never arrived"])
def test_a08_while_a_cancel_is_lost_nothing_follows(
    stage: Stage, maker: HedgeExecution, accepts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(stage, FaultKind.ANSWER, accepts=accepts, status=502, times=10_000)
    unreadable = Fault(
        FaultKind.ANSWER, topic=Topic.ORDERS, method="GET", account="alpha", accepts=False,
        status=502, times=10_000,
    )  # fmt: skip
    stage.paper.do(lambda: stage.paper.server.faults.add(unreadable))
    sentinel = Sentinel()
    for _ in range(3):
        stage.quote()
        sentinel.round()
        work()
    assert [it[0] for it in orders(maker)] == ["post-only"]
    assert len(stage.orders()) == 1
    stage.paper.do(stage.paper.server.faults.clear)
    done = finish(stage, maker)
    assert orders(done) == [("post-only", "cancelled", D(0)), ("ioc", "filled", D("0.02"))]
    never_two_live(stage)


@database
def test_what_follows_follows_once(stage: Stage, maker: HedgeExecution) -> None:
    refused = Fault(FaultKind.REFUSE, topic=Topic.PLACE, reason=Reject.INSUFFICIENT_MARGIN)
    stage.paper.do(lambda: stage.paper.server.faults.add(refused))
    done = finish(stage, maker)
    assert orders(done) == [("post-only", "cancelled", D(0)), ("ioc", "failed", D(0))]
    assert done.result == "fail"  # the next hedge is a decision of its own


@database
def test_an_order_filled_while_it_is_cancelled_is_booked_and_nothing_follows(
    stage: Stage, maker: HedgeExecution
) -> None:
    fault(stage, FaultKind.FILL_AFTER_CANCEL_ACK, accepts=False, delay_ms=0)
    done = finish(stage, maker)
    assert orders(done) == [("post-only", "filled", D("0.02"))]
    assert (done.result, stage.size("alpha")) == ("success", D("0.1"))
    never_two_live(stage)


@database
def test_a_fill_after_the_cancel_was_acknowledged_is_hedged_back(
    stage: Stage, maker: HedgeExecution
) -> None:
    fault(stage, FaultKind.FILL_AFTER_CANCEL_ACK, delay_ms=0)
    done = finish(stage, maker)
    until = time.monotonic() + SETTLING_SECONDS
    sentinel = Sentinel()
    while stage.size("alpha") != -stage.size("beta") and time.monotonic() < until:
        stage.quote()
        sentinel.round()
        work()
    settle(stage)
    assert stage.size("alpha") == -stage.size("beta")
    assert maker.intents.get(type="post-only").filled_amount == D("0.02")
    assert done.result is not None


@database
@pytest.mark.parametrize("urgent", ["large", "no room", "off", "its module"])
def test_what_presses_is_taken_at_once(stage: Stage, settings: LazySettings, urgent: str) -> None:
    settings.HEDGE_MAKER_SECONDS = 0 if urgent == "off" else 1
    if urgent == "its module":  # the module's own setting wins
        StrategyModule.objects.filter(pk="hedger").update(config={"makerSeconds": 0})
    size = "0.02" if urgent == "large" else "0.001"
    if urgent == "no room":
        settings.HEDGE_MAKER_WITHIN = 0
    hedge = breach(stage, size)
    assert [it.type for it in hedge.intents.all()] == ["ioc"]
    assert hedge.decision_inputs["style"] == "taker"


def decision(size: str = "0.02", reason: Reason = Reason.BREACH) -> Decision:
    return Decision(Verdict.HEDGE, reason, exposure(size), D("0.01"), D("-0.02"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "trigger", "seconds", "style"),
    [
        (decision(), TriggerReason.DELTA, 3, "maker"),
        (decision("-0.03"), TriggerReason.DELTA, 3, "maker"),
        (decision("0.031"), TriggerReason.DELTA, 3, "taker"),
        (decision(), TriggerReason.DELTA, 0, "taker"),
        (decision(), TriggerReason.MANUAL, 3, "taker"),
        (decision(), TriggerReason.FAILOVER, 3, "taker"),
        (decision(), TriggerReason.UTILIZATION, 3, "taker"),
        (decision(reason=Reason.OUTCOME_LOST), TriggerReason.DELTA, 3, "taker"),
    ],
)
def test_only_a_calm_small_breach_rests_first(
    made: Decision, trigger: TriggerReason, seconds: int, style: str
) -> None:
    assert style_of(made, trigger, MakerTerms(seconds, D(3))) is HedgeStyle(style)


@pytest.mark.parametrize(
    ("config", "seconds"),
    [({}, 3), ({"makerSeconds": 7}, 7), ({"makerSeconds": 0}, 0), ({"makerSeconds": 999}, 30),
     ({"makerSeconds": -1}, 0), ({"makerSeconds": True}, 3), ({"makerSeconds": "9"}, 3)],
)  # fmt: skip
def test_a_module_s_own_seconds_win_within_bounds(config: dict[str, Any], seconds: int) -> None:
    assert maker_seconds(config, 3) == seconds
