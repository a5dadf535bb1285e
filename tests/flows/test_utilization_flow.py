"""From two readings above the band to both sides reduced, over the paper venue's real sockets."""

from decimal import Decimal

import pytest
from aiohttp import web

from accounts.domain.utilization import BandPlace, place_in_band
from accounts.models import AccountState, ExchangeAccount, Position
from hedging.models import HedgeExecution
from hedging.services import UtilizationWatch
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests.flows.test_hedge_flow import ACTOR, ORDER, Stage, settle, stage, work

__all__ = ["stage"]

pytestmark = pytest.mark.django_db(transaction=True)


def place(account: ExchangeAccount) -> BandPlace:
    account.refresh_from_db()
    state = AccountState.objects.get(account=account)
    assert state.initial_margin is not None
    assert state.equity is not None
    return place_in_band(
        state.initial_margin / state.equity,
        low=account.utilization_target_min,
        high=account.utilization_target_max,
    )


def squeeze(account: ExchangeAccount) -> None:
    """Move the account's band below where it is."""
    state = AccountState.objects.get(account=account)
    assert state.initial_margin is not None
    assert state.equity is not None
    used = state.initial_margin / state.equity
    ExchangeAccount.objects.filter(pk=account.pk).update(
        utilization_target_max=used * Decimal("0.8"), utilization_target_min=used * Decimal("0.4")
    )


def look(stage: Stage, watch: UtilizationWatch) -> list[HedgeExecution]:
    stage.sync()
    stage.quote()
    return watch.look(actor=ACTOR)


def test_two_readings_above_the_band_reduce_both_sides_alike(stage: Stage) -> None:
    squeeze(stage.alpha)
    watch = UtilizationWatch()
    assert look(stage, watch) == []
    assert watch.look(actor=ACTOR) == []  # no new reading
    (execution,) = look(stage, watch)
    assert (execution.trigger_reason, execution.primary_account_id, execution.hedge_account_id) == (
        "utilization",
        "alpha",
        "beta",
    )
    assert [
        (order["accountId"], order["side"], order["amount"], order["reduceOnly"])
        for order in execution.orders
    ] == [("alpha", "sell", "0.03", True), ("beta", "buy", "0.03", True)]
    assert look(stage, watch) == []  # under way
    work()
    settle(stage)
    execution.refresh_from_db()
    assert (execution.result, execution.delta_after) == ("success", Decimal(0))
    assert (stage.size("alpha"), stage.size("beta")) == (Decimal("0.07"), Decimal("-0.07"))
    assert place(stage.alpha) is BandPlace.INSIDE
    for _ in range(3):
        assert look(stage, watch) == []
    assert (HedgeExecution.objects.count(), len(stage.orders())) == (1, 2)
    assert MonitoringEvent.objects.filter(payload__code="transfer-proposed").count() == 1


@pytest.mark.parametrize("obstacle", ["no other side", "one side denied", "nobody's book"])
def test_without_both_sides_nothing_is_reduced(stage: Stage, obstacle: str) -> None:
    squeeze(stage.alpha)
    watch = UtilizationWatch()
    assert look(stage, watch) == []
    stage.sync()
    stage.quote()
    if obstacle == "no other side":
        Position.objects.filter(account="beta").update(size=Decimal("0.1"))
    elif obstacle == "one side denied":
        ExchangeAccount.objects.filter(pk="beta").update(status="emergency")
    else:
        stage.alpha.allocations.all().delete()
        stage.beta.allocations.all().delete()
    assert watch.look(actor=ACTOR) == []
    assert not OrderIntent.objects.exists()


def test_a_side_the_venue_refuses_leaves_a_delta_that_is_hedged(stage: Stage) -> None:
    squeeze(stage.alpha)
    watch = UtilizationWatch()
    look(stage, watch)
    (execution,) = look(stage, watch)
    refused = execution.intents.get(account="beta")
    work_but(refused, stage)
    settle(stage)
    execution.refresh_from_db()
    assert execution.result == "partial"
    stage.evaluate()
    again = HedgeExecution.objects.get(trigger_reason="delta")
    assert again.delta_before == Decimal("-0.03")
    work()
    settle(stage)
    again.refresh_from_db()
    assert (again.result, again.delta_after) == ("success", Decimal(0))


def work_but(refused: OrderIntent, stage: Stage) -> None:
    """Do what is queued; the venue refuses this order, its account's margin being short."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        if refused.client_order_id in request.query_string + (await request.text()):
            return web.json_response({"code": -2019, "msg": "Margin is insufficient."}, status=400)
        del stage.paper.gateway.faults[ORDER]
        answer = await stage.paper.gateway.serve(request)
        stage.paper.gateway.faults[ORDER] = refuse
        return answer

    stage.paper.gateway.faults[ORDER] = refuse
    work()
    stage.paper.gateway.faults.clear()
