"""From funding and quotes to a filled, linked, simulated pair; and all that stops it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django_q.models import OrmQ

from accounts import egress
from accounts.models import AccountState, ExchangeAccount, Position
from controlplane.kernel.errors import Denied
from markets.models import FeedTraffic, FundingRate, Quote
from monitoring.models import MonitoringEvent
from strategies import evaluation, execution, gate
from strategies.jobs import EvaluateModules
from strategies.models import OrderIntent, RiskLimit, StrategyModule
from strategies.plugins.funding_arbitrage import FundingArbitrage
from tests import factories
from tests.strategies.conftest import Stage, stage

D = Decimal
CONFIG = {"symbols": ["BTC"], "notional": 6100, "horizonHours": 24}


@dataclass
class Arbitrage:
    """A dry-run funding-arbitrage module with accounts on two venues."""

    module: StrategyModule
    high: Stage
    low: Stage

    def evaluate(self) -> list[OrderIntent]:
        return evaluation.module_evaluate(module=self.module, actor=self.high.actor)

    def change(self, **fields: Any) -> None:
        StrategyModule.objects.filter(pk=self.module.pk).update(**fields)


def funding(at: Stage, rate: str) -> None:
    now = datetime.now(UTC)
    FundingRate.objects.create(
        instrument=at.instrument,
        rate=D(rate),
        funding_time=now + timedelta(hours=1),
        interval_hours=8,
        observed_at=now,
    )


@pytest.fixture
def arbitrage(db: None, monkeypatch: pytest.MonkeyPatch) -> Arbitrage:
    def refuse(account: ExchangeAccount) -> None:
        raise AssertionError("a dry run asked for a venue's client")

    monkeypatch.setattr(egress, "execution_client", refuse)
    module = factories.module(
        type="funding-arbitrage", config=CONFIG, profit_after_fee_target=D("0.1")
    )
    high, low = stage(), stage()
    for each, rate in ((high, "0.003"), (low, "0.0001")):
        factories.allocation(module=module, account=each.account, weight=D(1), sandbox_mode=True)
        funding(each, rate)
        AccountState.objects.filter(account=each.account).update(
            equity=D(100_000), initial_margin=D(0), balance_at=datetime.now(UTC)
        )
    return Arbitrage(module, high, low)


def test_quotes_and_funding_become_a_linked_pair(arbitrage: Arbitrage) -> None:
    short, long = arbitrage.evaluate()
    assert (short.account, short.side) == (arbitrage.high.account, "sell")
    assert (long.account, long.side) == (arbitrage.low.account, "buy")
    # 6100 / (60001 × 1.001) = 0.10156…, down to the lot of 0.001.
    assert short.amount == long.amount == D("0.101")
    # 6060 USD each: funding ±rate × 3 × 6060; fees 2 × 0.0005 × 6060 = 6.06; spread 0.202.
    assert short.expected_profit_after_fee == D("54.54") - D("6.262")
    assert long.expected_profit_after_fee == D("-1.818") - D("6.262")
    assert (short.hedge_pair_intent, long.hedge_pair_intent) == (long, short)
    for intent in (short, long):
        intent.refresh_from_db()
        assert (intent.state, intent.submission) == ("pending", "none")
        assert intent.sandbox
        assert "funding 0.003" in intent.reason


@pytest.mark.django_db(transaction=True)
def test_the_job_queues_both_and_the_sandbox_fills_both(arbitrage: Arbitrage) -> None:
    EvaluateModules().run()
    queued = [row.task["args"][:2] for row in OrmQ.objects.order_by("pk")]
    intents = list(OrderIntent.objects.order_by("intent_id"))
    assert queued == [("orders.submit", {"intent_id": str(intent.pk)}) for intent in intents]
    for intent in intents:
        execution.intent_submit(intent_id=intent.pk, actor=arbitrage.high.actor)
        intent.refresh_from_db()
        assert intent.state == "filled"
        # The trade took the same way as a real one: recorded once, its taker fee on the order.
        [fill] = intent.fills.all()
        assert (fill.sandbox, fill.amount, fill.price) == (True, D("0.101"), intent.average_price)
        assert intent.fee == fill.fee == D("0.101") * fill.price * D("0.0005")
    sizes = dict(Position.objects.values_list("account_id", "size"))
    assert sizes == {arbitrage.high.account.pk: D("-0.101"), arbitrage.low.account.pk: D("0.101")}
    assert not Position.objects.live().exists()

    EvaluateModules().run()
    assert OrderIntent.objects.count() == 2, "the position is open: it is not opened again"


def _stale_quote(case: Arbitrage) -> None:
    Quote.objects.filter(feed=case.low.feed).update(
        received_at=datetime.now(UTC) - timedelta(seconds=61)
    )


def _old_funding(case: Arbitrage) -> None:
    FundingRate.objects.update(observed_at=datetime.now(UTC) - timedelta(hours=3))


def _silent_marks(case: Arbitrage) -> None:
    FeedTraffic.objects.create(
        feed=case.low.feed,
        since=datetime.now(UTC),
        quotes=1,
        connections=1,
        observed_at=datetime.now(UTC),
        marks_are_silent=True,
    )


def _settled_funding(case: Arbitrage) -> None:
    FundingRate.objects.update(funding_time=datetime.now(UTC) - timedelta(seconds=1))


def _unknown_margin(case: Arbitrage) -> None:
    AccountState.objects.filter(account=case.high.account).update(initial_margin=None)


def _old_margin(case: Arbitrage) -> None:
    AccountState.objects.update(balance_at=datetime.now(UTC) - timedelta(seconds=61))


def _unknown_positions(case: Arbitrage) -> None:
    AccountState.objects.filter(account=case.low.account).update(positions_at=None)


def _full_band(case: Arbitrage) -> None:
    AccountState.objects.filter(account=case.low.account).update(initial_margin=D(80_000))


def _limit_for_one_leg(case: Arbitrage) -> None:
    RiskLimit.objects.create(scope="firm", max_gross_value=D(10_000))  # the pair is worth 12,120


def _paused(case: Arbitrage) -> None:
    ExchangeAccount.objects.filter(pk=case.low.account.pk).update(status="paused")


def _disabled(case: Arbitrage) -> None:
    case.change(status="disable")


def _target(case: Arbitrage) -> None:
    case.change(profit_after_fee_target=D("0.67"))  # 40.198 of 6060 USD is 0.663 %


def _order_in_flight(case: Arbitrage) -> None:
    case.low.module = case.module
    case.low.wish(sandbox=True)


@pytest.mark.parametrize(
    "change",
    [
        _stale_quote,
        _old_funding,
        _silent_marks,
        _settled_funding,
        _unknown_margin,
        _old_margin,
        _unknown_positions,
        _full_band,
        _limit_for_one_leg,
        _paused,
        _disabled,
        _target,
        _order_in_flight,
    ],
)
def test_nothing_is_written_when(arbitrage: Arbitrage, change: Any) -> None:
    change(arbitrage)
    before = OrderIntent.objects.count()
    assert arbitrage.evaluate() == []
    assert OrderIntent.objects.count() == before


def test_no_more_signals_than_the_module_may_have_open(arbitrage: Arbitrage) -> None:
    elsewhere = stage()
    elsewhere.module = arbitrage.module
    elsewhere.wish(sandbox=True)
    assert arbitrage.evaluate() == []
    assert OrderIntent.objects.count() == 1
    arbitrage.change(max_concurrent_signals=2)
    assert len(arbitrage.evaluate()) == 2


def test_one_leg_the_gate_refuses_keeps_both_from_being_written(
    arbitrage: Arbitrage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_the_second(intent: OrderIntent, *_: Any, **__: Any) -> Denied | None:
        return Denied("NO", "NO: not this one") if intent.side == "buy" else None

    monkeypatch.setattr(gate, "refusal", refuse_the_second)
    assert arbitrage.evaluate() == []
    assert not OrderIntent.objects.exists()
    event = MonitoringEvent.objects.get()
    assert (event.severity, event.module_id) == ("WARN", arbitrage.module.pk)
    assert event.message.endswith("NO: not this one")


@pytest.mark.django_db(transaction=True)
def test_a_leg_is_not_sent_when_its_other_one_never_was(arbitrage: Arbitrage) -> None:
    short, long = arbitrage.evaluate()
    Quote.objects.all().delete()
    execution.intent_submit(intent_id=short.pk, actor=arbitrage.high.actor)
    arbitrage.high.quote()
    arbitrage.low.quote()
    execution.intent_submit(intent_id=long.pk, actor=arbitrage.high.actor)
    short.refresh_from_db()
    long.refresh_from_db()
    assert (short.state, short.submission) == ("failed", "none")
    assert (long.state, long.submission) == ("failed", "none")
    assert long.reason.startswith("OTHER_LEG_NOT_SENT")
    assert not Position.objects.exists()


def test_a_broken_module_does_not_stop_the_others(
    arbitrage: Arbitrage, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.module(module_id="a-broken-one", type="funding-arbitrage", config={"symbols": 1})
    EvaluateModules().run()
    assert OrderIntent.objects.count() == 2
    [event] = MonitoringEvent.objects.filter(module_id="a-broken-one")
    assert (event.severity, "CONFIG_INVALID" in event.message) == ("WARN", True)

    def explode(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FundingArbitrage, "evaluate", explode)
    arbitrage.change(max_concurrent_signals=9)
    EvaluateModules().run()
    event = MonitoringEvent.objects.get(module_id=arbitrage.module.pk, severity="CRITICAL")
    assert event.message.endswith("broke: ZeroDivisionError")
