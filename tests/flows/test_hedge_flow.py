"""From a breach to its hedge, over the paper venue's real sockets."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from django.db import connections
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import ExchangeAccount, Position
from accounts.services import account_sync
from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from hedging import selectors
from hedging.choices import TriggerReason
from hedging.models import Fill, HedgeExecution
from hedging.services import book_evaluate, executions_finish, fills_attach
from markets.models import Instrument, Quote
from monitoring.models import MonitoringEvent
from strategies.execution import unknown_resolve
from strategies.models import SYSTEM_HEDGE, AccountAllocation, OrderIntent, StrategyModule
from tests import factories
from tests.accounts.paper import Paper, paper_venue
from tests.hedging import world

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor(name="test", surface=Surface.SENTINEL)
BOOK = "live:alpha"
ORDER = ("POST", "/fapi/v1/order")


@dataclass
class Stage:
    """Two accounts, long and short 0.1 BTC, in one book at one venue."""

    paper: Paper
    alpha: ExchangeAccount
    beta: ExchangeAccount

    @property
    def accounts(self) -> tuple[ExchangeAccount, ExchangeAccount]:
        return self.alpha, self.beta

    def sync(self) -> None:
        for account in self.accounts:
            account_sync(account=account, actor=ACTOR)

    def quote(self) -> None:
        """Take the venue's own prices over, as its feed would."""
        now = timezone.now()
        for instrument in Instrument.objects.filter(venue=self.paper.row):
            market = self.paper.server.core.engine.markets[instrument.venue_symbol]
            Quote.objects.update_or_create(
                feed_id=f"{instrument.symbol}-feed",
                defaults={
                    "bid": market.quote.bid,
                    "ask": market.quote.ask,
                    "bid_size": 1,
                    "ask_size": 1,
                    "venue_at": now,
                    "received_at": now,
                    "sequence": 1,
                },
            )

    def evaluate(self) -> HedgeExecution | None:
        self.quote()
        return book_evaluate(key=BOOK, trigger_reason=TriggerReason.DELTA, actor=ACTOR)

    def orders(self) -> list[dict[str, Any]]:
        """New orders of ours in the venue's own ledger."""
        entries = self.paper.do(lambda: self.paper.server.ledger.since(kind="order"))
        return [item for item in entries if not item["external"] and item["execution"] == "NEW"]

    def size(self, label: str) -> Decimal:
        engine = self.paper.server.core.engine
        return self.paper.do(lambda: engine.accounts[label].size("BTCUSDT"))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with paper_venue(labels=("alpha", "beta"), alpha={"BTC": "0.1"}, beta={"BTC": "-0.1"}) as paper:
        module = factories.module(module_id="hedger", dry_run_enabled=False)
        accounts = [paper.account(label) for label in ("alpha", "beta")]
        for account in accounts:
            factories.allocation(module=module, account=account)
        for symbol in ("BTC", "ETH"):
            factories.feed(
                feed_id=f"{symbol}-feed",
                exchange=paper.row,
                symbol=symbol,
                status="healthy",
                freshness_threshold=60_000,
                failover_deadline=90_000,
            )
        made = Stage(paper, *accounts)
        made.quote()
        made.sync()
        yield made


def work() -> None:
    """Do what is queued, as a worker of the hedge cluster would."""
    for queued in OrmQ.objects.order_by("pk"):
        task = queued.task
        queued.delete()
        jobs.execute(*task["args"])


def settle(stage: Stage) -> None:
    """Two looks at the accounts: one finds the fills, the next knows positions that have them."""
    stage.sync()
    stage.sync()


def breach(stage: Stage, amount: str = "0.02") -> HedgeExecution:
    """Somebody trades on alpha; the sync sees it and its trigger hedges."""
    stage.paper.move("alpha", "BTCUSDT", amount)
    stage.quote()
    stage.sync()
    return HedgeExecution.objects.get(result=None)


def events(kind: str) -> list[str]:
    found = MonitoringEvent.objects.filter(type=kind).order_by("event_id")
    return list(found.values_list("message", flat=True))


def test_a_breach_is_hedged_at_the_venue_and_recorded(stage: Stage) -> None:
    assert stage.evaluate() is None
    execution = breach(stage)
    assert execution.delta_before == Decimal("0.02")
    assert execution.primary_account_id == execution.hedge_account_id == "alpha"
    assert execution.decision_inputs["positions"][0]["size"].startswith("0.12")
    (intent,) = execution.intents.all()
    assert (intent.module_id, intent.side, intent.amount, intent.reduce_only, intent.type) == (
        "hedger",
        "sell",
        Decimal("0.02"),
        True,
        "ioc",
    )
    work()
    settle(stage)
    execution.refresh_from_db()
    assert (execution.result, execution.delta_after) == ("success", Decimal(0))
    assert execution.duration_ms is not None
    assert execution.slippage_bp is not None
    assert execution.seconds_out_of_band is not None
    (order,) = stage.orders()
    assert order["clientOrderId"] == intent.client_order_id
    assert Fill.objects.filter(intent=intent).count() == 1
    assert stage.size("alpha") == Decimal("0.1")
    assert selectors.book(BOOK, now=timezone.now()).state == "neutral"  # type: ignore[union-attr]
    assert len(events("delta-alert")) == 1
    assert [text.split(" ")[-1] for text in events("hedge")] == ["orders.", "success."]


def test_a_trade_made_elsewhere_is_recorded_as_external(stage: Stage) -> None:
    execution = breach(stage)
    external = Fill.objects.get()
    assert (external.intent, external.account_id, external.amount) == (
        None,
        "alpha",
        Decimal("0.02"),
    )
    assert not OrderIntent.objects.filter(fills=external).exists()
    assert execution.intents.count() == 1


def test_fills_told_twice_count_once(stage: Stage) -> None:
    breach(stage)
    work()
    settle(stage)
    ids = set(Fill.objects.values_list("trade_id", flat=True))
    assert len(ids) == 2
    settle(stage)
    assert set(Fill.objects.values_list("trade_id", flat=True)) == ids
    assert Fill.objects.count() == 2
    intent = OrderIntent.objects.get()
    assert (intent.state, intent.filled_amount) == ("filled", Decimal("0.02"))


def test_looking_again_while_a_hedge_is_on_its_way_sends_nothing(stage: Stage) -> None:
    breach(stage)
    for _ in range(3):
        assert stage.evaluate() is None
        stage.sync()
    work()
    assert stage.evaluate() is None
    assert len(stage.orders()) == HedgeExecution.objects.count() == 1


def test_evaluations_at_once_make_one_hedge(stage: Stage) -> None:
    Position.objects.filter(account="alpha").update(size=Decimal("0.12"))
    stage.quote()
    barrier = threading.Barrier(4)
    made: list[HedgeExecution | None] = []

    def look() -> None:
        barrier.wait()
        made.append(book_evaluate(key=BOOK, trigger_reason=TriggerReason.DELTA, actor=ACTOR))
        connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(threads)  # none of them broke
    assert [item for item in made if item is not None] == list(HedgeExecution.objects.all())
    assert HedgeExecution.objects.count() == OrderIntent.objects.count() == 1


def test_a_venue_that_rejects_fails_the_hedge_and_the_book_is_decided_anew(stage: Stage) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"code": -2019, "msg": "Margin is insufficient."}, status=400)

    stage.paper.gateway.faults[ORDER] = refuse
    execution = breach(stage)
    work()
    executions_finish()
    execution.refresh_from_db()
    assert (execution.result, execution.delta_after) == ("fail", Decimal("0.02"))
    assert OrderIntent.objects.get().state == "failed"
    assert stage.evaluate() is None  # not at once: a moment later
    stage.paper.gateway.faults.clear()
    HedgeExecution.objects.filter(pk=execution.pk).update(
        finished_at=timezone.now() - timedelta(seconds=2)
    )
    again = stage.evaluate()
    assert again is not None
    assert again.intents.get().pk != execution.intents.get().pk
    work()
    settle(stage)
    again.refresh_from_db()
    assert (again.result, len(stage.orders())) == ("success", 1)


def test_an_unknown_outcome_stays_unknown_and_no_second_hedge_is_sent(stage: Stage) -> None:
    async def accept_and_lose(request: web.Request) -> web.Response:
        del stage.paper.gateway.faults[ORDER]
        await stage.paper.gateway.serve(request)
        return web.Response(status=504)

    stage.paper.gateway.faults[ORDER] = accept_and_lose
    execution = breach(stage)
    work()
    intent = OrderIntent.objects.get()
    assert (intent.state, intent.submission) == ("submitted", "unknown")
    executions_finish()
    execution.refresh_from_db()
    assert execution.result is None
    assert stage.evaluate() is None
    stage.sync()  # finds the trade, but a trade names only the venue's order id
    assert Fill.objects.external().count() == 2
    unknown_resolve(intent=intent, actor=ACTOR)
    fills_attach(actor=ACTOR)
    stage.sync()
    execution.refresh_from_db()
    assert (execution.result, len(stage.orders())) == ("success", 1)


def test_an_unknown_order_that_never_arrived_keeps_the_hedge_open(stage: Stage) -> None:
    async def lose(_request: web.Request) -> web.Response:
        return web.Response(status=504)

    stage.paper.gateway.faults[ORDER] = lose
    execution = breach(stage)
    work()
    settle(stage)
    execution.refresh_from_db()
    assert execution.result is None
    assert stage.evaluate() is None
    assert (stage.orders(), HedgeExecution.objects.count()) == ([], 1)
    view = selectors.book(BOOK, now=timezone.now())
    assert view is not None
    assert (view.state, view.net_delta_btc) == ("hedging", Decimal("0.02"))


def test_a_stale_quote_holds(stage: Stage) -> None:
    Quote.objects.update(received_at=timezone.now() - timedelta(minutes=2))
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    stage.sync()
    assert not HedgeExecution.objects.exists()
    view = selectors.book(BOOK, now=timezone.now())
    assert view is not None
    assert (view.state, view.reason) == ("breach", "QUOTE_STALE")
    assert stage.evaluate() is not None  # prices are back


def test_an_account_with_an_unknown_order_and_a_paused_one_open_nothing(stage: Stage) -> None:
    lost = factories.intent(
        account=stage.alpha, instrument=Instrument.objects.get(symbol="BTC"), side="buy"
    )
    world.moved(lost, ("submitted", "sending"), ("submitted", "unknown"))
    ExchangeAccount.objects.filter(pk="beta").update(status="paused")
    Position.objects.filter(account="alpha").update(size=Decimal("0.12"))
    assert stage.evaluate() is None
    assert OrderIntent.objects.count() == 1
    ExchangeAccount.objects.filter(pk="beta").update(status="active")
    execution = stage.evaluate()
    assert execution is not None
    hedge = execution.intents.get()
    assert (hedge.account_id, hedge.side, hedge.reduce_only) == ("beta", "sell", False)
    assert execution.decision_inputs["skipped"] == [
        ["alpha", "OUTCOME_UNKNOWN"],
        ["beta", "REDUCE_ONLY"],
    ]


def test_a_book_of_paused_accounts_is_only_watched(stage: Stage) -> None:
    ExchangeAccount.objects.update(status="paused")
    stage.paper.move("alpha", "BTCUSDT", "0.02")
    stage.sync()
    assert stage.evaluate() is None
    assert not OrderIntent.objects.exists()
    view = selectors.book(BOOK, now=timezone.now())
    assert view is not None
    assert (view.state, view.reason) == ("halted", "STOPPED")


@pytest.mark.parametrize("how", ["no allocation", "disabled module", "dry run"])
def test_an_account_no_live_module_was_given_is_traded_by_hand_only(stage: Stage, how: str) -> None:
    if how == "no allocation":
        AccountAllocation.objects.all().delete()
    elif how == "disabled module":
        StrategyModule.objects.filter(pk="hedger").update(status="disable")
    else:
        StrategyModule.objects.filter(pk="hedger").update(dry_run_enabled=True)
    stage.sync()
    assert stage.evaluate() is None
    assert not OrderIntent.objects.exists()
    view = selectors.book(BOOK, now=timezone.now())
    assert view is not None
    assert (view.account_ids, view.state, view.reason) == (("alpha",), "breach", "UNALLOCATED")
    if not StrategyModule.objects.filter(pk=SYSTEM_HEDGE).exists():  # emptied with the tables
        factories.module(module_id=SYSTEM_HEDGE, dry_run_enabled=False)
    by_hand = book_evaluate(key=BOOK, trigger_reason=TriggerReason.MANUAL, actor=ACTOR)
    assert by_hand is not None
    order = by_hand.intents.get()
    assert (order.module_id, order.account_id, order.side) == ("system-hedge", "alpha", "sell")


def test_a_sandbox_book_never_touches_the_venue(stage: Stage) -> None:
    module = factories.module(module_id="dry", dry_run_enabled=True)
    for account in stage.accounts:
        factories.allocation(module=module, account=account, sandbox_mode=True)
    Position.objects.create(
        account=stage.alpha,
        instrument=Instrument.objects.get(symbol="BTC"),
        sandbox=True,
        size=Decimal("0.05"),
        observed_at=timezone.now(),
    )
    stage.quote()
    execution = book_evaluate(key="sandbox:alpha", trigger_reason=TriggerReason.DELTA, actor=ACTOR)
    assert execution is not None
    before = len(stage.paper.gateway.requests)
    work()
    executions_finish()
    intent = execution.intents.get()
    assert (intent.sandbox, intent.state, intent.module_id) == (True, "filled", "dry")
    assert len(stage.paper.gateway.requests) == before
    assert stage.orders() == []
    assert stage.size("alpha") == Decimal("0.1")
