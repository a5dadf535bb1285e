"""Two legs of which one goes wrong, over the paper venue's real sockets: real exposure decides."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from aiohttp import web
from django.utils import timezone

from hedging.models import HedgeExecution
from hedging.services import executions_finish
from markets.models import Instrument
from markets.venues.types import OrderType, Side
from strategies import services as strategies
from strategies.execution import intent_submit
from strategies.models import OrderIntent, StrategyModule
from tests.flows.test_hedge_flow import ACTOR, ORDER, Stage, breach, settle, stage, work

__all__ = ["stage"]

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal


def legs(stage: Stage, amount: str, other: str | None = None) -> tuple[OrderIntent, OrderIntent]:
    """Alpha buys and beta sells as much, linked; each at the best price or not at all."""
    btc = Instrument.objects.get(symbol="BTC")
    quote = stage.paper.server.core.engine.markets["BTCUSDT"].quote
    made = [
        strategies.intent_create(
            module=StrategyModule.objects.get(pk="hedger"),
            account=account,
            instrument=btc,
            side=side,
            type=OrderType.IOC,
            amount=D(size),
            price=quote.ask if side is Side.BUY else quote.bid,
            sandbox=False,
            actor=ACTOR,
        )
        for account, side, size in (
            (stage.alpha, Side.BUY, amount),
            (stage.beta, Side.SELL, other or amount),
        )
    ]
    strategies.intents_pair(*made)
    return made[0], made[1]


def send(intent: OrderIntent) -> OrderIntent:
    intent_submit(intent_id=intent.pk, actor=ACTOR)
    intent.refresh_from_db()
    return intent


def refuse(stage: Stage) -> Callable[[], object]:
    """Have the venue refuse orders until the answer is called."""

    async def refused(_request: web.Request) -> web.Response:
        return web.json_response({"code": -2019, "msg": "Margin is insufficient."}, status=400)

    stage.paper.gateway.faults[ORDER] = refused
    return stage.paper.gateway.faults.clear


def thin(stage: Stage, size: str) -> None:
    """Leave only so much at the best ask; there is plenty to sell into."""
    core = stage.paper.server.core
    quote = core.engine.markets["BTCUSDT"].quote
    changed = replace(quote, ask_size=D(size), bid_size=D(10))
    stage.paper.do(lambda: core.set_quote("BTCUSDT", changed))


def hedged(stage: Stage) -> list[HedgeExecution]:
    """Look at the book until nothing is left to do; only what is certain is hedged at once."""
    settle(stage)
    for _ in range(4):
        stage.evaluate()
        work()
        settle(stage)
    return list(HedgeExecution.objects.order_by("execution_id"))


def trades(executions: list[HedgeExecution]) -> dict[tuple[str, str], Decimal]:
    """Return how much was traded, by account and side."""
    total: dict[tuple[str, str], Decimal] = {}
    for execution in executions:
        for intent in execution.intents.all():
            key = (intent.account_id, str(intent.side))
            total[key] = total.get(key, D(0)) + intent.filled_amount
    return total


def test_e01_a_leg_whose_other_one_is_rejected_is_unwound(stage: Stage) -> None:
    long, short = legs(stage, "0.02")
    assert send(long).state == "filled"
    mend = refuse(stage)
    assert send(short).state == "failed"
    mend()
    executions = hedged(stage)
    assert trades(executions) == {("alpha", "sell"): D("0.02")}
    assert (executions[-1].result, executions[-1].delta_after) == ("success", D(0))
    assert (stage.size("alpha"), stage.size("beta")) == (D("0.1"), D("-0.1"))


@pytest.mark.parametrize(
    ("rejected", "delta", "account", "side"),
    [(True, "0.037", "alpha", "sell"), (False, "-0.063", "beta", "buy")],
    ids=["the other is rejected", "the other fills whole"],
)
def test_e02_a_leg_filled_in_part_is_hedged_by_what_it_really_filled(
    stage: Stage, rejected: bool, delta: str, account: str, side: str
) -> None:
    long, short = legs(stage, "0.1")
    thin(stage, "0.037")
    assert send(long).filled_amount == D("0.037")
    mend = refuse(stage) if rejected else (lambda: None)
    send(short)
    mend()
    thin(stage, "10")
    executions = hedged(stage)
    assert executions[0].delta_before == D(delta)
    assert trades(executions) == {(account, side): abs(D(delta))}
    assert (executions[-1].result, executions[-1].delta_after) == ("success", D(0))
    assert stage.size("alpha") == -stage.size("beta")


@pytest.mark.parametrize("size", ["0.0001", "0.0205", "20"])
def test_e03_a_leg_whose_other_one_the_gate_would_deny_is_not_sent(stage: Stage, size: str) -> None:
    long, short = legs(stage, "0.02", size)
    assert send(long).state == "failed"
    assert long.reason.startswith("OTHER_LEG_NOT_SENDABLE: ")
    assert send(short).state == "failed"
    assert stage.orders() == []


def test_e09_a_price_that_runs_away_fills_nothing_outside_the_collar(stage: Stage) -> None:
    execution = breach(stage)
    core = stage.paper.server.core
    mid = core.engine.markets["BTCUSDT"].quote.bid
    stage.paper.do(lambda: core.jump("BTCUSDT", mid * D("0.95")))
    work()
    stage.quote()
    settle(stage)
    executions_finish()
    execution.refresh_from_db()
    assert (execution.result, execution.delta_after) == ("fail", D("0.02"))
    assert stage.size("alpha") == D("0.12")
    HedgeExecution.objects.filter(pk=execution.pk).update(
        finished_at=timezone.now() - timedelta(seconds=2)
    )
    stage.evaluate()  # unless a sync's own look has been quicker
    again = HedgeExecution.objects.exclude(pk=execution.pk).get()
    work()
    settle(stage)
    again.refresh_from_db()
    assert (again.result, again.delta_after) == ("success", D(0))
    assert again.slippage_bp is not None
    assert again.slippage_bp <= 50  # the account's slippage tolerance is 0.5 %
