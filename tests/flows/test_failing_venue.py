"""What trading does when one venue's market data fails, on two paper venues."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import ExchangeAccount
from accounts.services import account_sync
from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from controlplane.sentinel import Sentinel
from hedging.models import HedgeExecution
from markets.models import Instrument, MarketDataFeed, Quote, SynthPriceSnapshot
from monitoring.models import MonitoringEvent
from strategies import services as strategies
from strategies.execution import intent_submit
from strategies.models import OrderIntent, StrategyModule
from tests import factories
from tests.accounts.paper import Paper, paper_venue

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor(name="test", surface=Surface.SENTINEL)
D = Decimal


@dataclass
class Stage:
    """Alpha, long 0.1 BTC at one venue, and beta, short as much at another, in one book."""

    alpha_venue: Paper
    beta_venue: Paper
    alpha: ExchangeAccount
    beta: ExchangeAccount
    module: StrategyModule

    def sync(self) -> None:
        for account in (self.alpha, self.beta):
            account_sync(account=account, actor=ACTOR)

    def feed(self, paper: Paper) -> MarketDataFeed:
        return MarketDataFeed.objects.get(exchange=paper.row)

    def quote(self, paper: Paper) -> None:
        """Take the venue's own price over, as its feed would."""
        market, now = paper.server.core.engine.markets["BTCUSDT"], timezone.now()
        Quote.objects.update_or_create(
            feed=self.feed(paper),
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

    def status(self, paper: Paper, status: str) -> None:
        """Put the feed on record as it would be; what is not healthy has no fresh quote."""
        MarketDataFeed.objects.filter(exchange=paper.row).update(
            status=status, last_heartbeat=timezone.now()
        )
        if status != "healthy":
            old = timezone.now() - timedelta(seconds=61)
            Quote.objects.filter(feed__exchange=paper.row).update(received_at=old)

    def stand_in(self, paper: Paper) -> None:
        """A synthetic price for the venue's feed, made just now."""
        market = paper.server.core.engine.markets["BTCUSDT"].quote
        SynthPriceSnapshot.objects.create(
            feed=self.feed(paper),
            symbol="BTC",
            mid_price=(market.bid + market.ask) / 2,
            bid=market.bid,
            ask=market.ask,
            timestamp=timezone.now(),
            reason="ws-failover",
        )

    def intent(self, account: ExchangeAccount, **fields: object) -> OrderIntent:
        market = self.alpha_venue.server.core.engine.markets["BTCUSDT"].quote
        return strategies.intent_create(
            **{  # type: ignore[arg-type]
                "module": self.module,
                "account": account,
                "instrument": Instrument.objects.get(venue=account.exchange, symbol="BTC"),
                "side": "sell",
                "type": "limit",
                "amount": D("0.01"),
                "price": (market.ask * D("1.002")).quantize(D("0.1")),
                "reduce_only": False,
                "sandbox": False,
                "actor": ACTOR,
                **fields,
            }
        )

    def cancels(self, paper: Paper) -> int:
        return paper.gateway.requests.count(("DELETE", "/fapi/v1/order"))

    def sends(self, paper: Paper) -> int:
        return paper.gateway.requests.count(("POST", "/fapi/v1/order"))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with (
        paper_venue(labels=("alpha",), alpha={"BTC": "0.1"}) as one,
        paper_venue(labels=("beta",), beta={"BTC": "-0.1"}) as two,
    ):
        module = factories.module(module_id="hedger", dry_run_enabled=False)
        alpha, beta = one.account("alpha"), two.account("beta")
        for account in (alpha, beta):
            factories.allocation(module=module, account=account)
        for paper in (one, two):
            factories.feed(
                exchange=paper.row,
                status="healthy",
                last_heartbeat=timezone.now(),
                freshness_threshold=60_000,
                failover_deadline=90_000,
            )
        made = Stage(one, two, alpha, beta, module)
        made.quote(one)
        made.quote(two)
        made.sync()
        yield made


def work() -> None:
    for queued in OrmQ.objects.order_by("pk"):
        task = queued.task
        queued.delete()
        jobs.execute(*task["args"])


def test_resting_order_of_a_failing_venue_is_cancelled_once_at_the_venue(stage: Stage) -> None:
    resting = [intent_submit(intent_id=stage.intent(it).pk, actor=ACTOR) for it in (stage.alpha,)]
    (intent,) = resting
    assert (intent.state, intent.submission) == ("submitted", "acknowledged"), intent.reason
    sentinel = Sentinel()
    assert sentinel.failing() == 0
    stage.status(stage.alpha_venue, "degraded")
    assert sentinel.failing() == 0
    stage.status(stage.alpha_venue, "failing")
    assert [sentinel.failing() for _ in range(3)] == [1, 0, 0]
    assert OrmQ.objects.get().task["args"][:2] == ("orders.cancel", {"intent_id": str(intent.pk)})
    work()
    intent.refresh_from_db()
    assert intent.state == "cancelled"
    assert stage.cancels(stage.alpha_venue) == 1
    assert sentinel.failing() == 0
    told = MonitoringEvent.objects.filter(type="failover-alert", account_id="alpha")
    assert [event.payload["intentId"] for event in told] == [str(intent.pk)]


@pytest.mark.parametrize(
    ("status", "code"),
    [("degraded", "VENUE_FEED_NOT_HEALTHY"), ("failing", "VENUE_PRICE_STALE")],
)
def test_a_venue_without_healthy_data_is_not_increased(
    stage: Stage, status: str, code: str
) -> None:
    stage.status(stage.alpha_venue, status)
    if status == "degraded":
        stage.quote(stage.alpha_venue)  # over HTTP
    intent = intent_submit(intent_id=stage.intent(stage.alpha).pk, actor=ACTOR)
    assert intent.state == "failed"
    assert intent.reason.startswith(code)
    assert stage.sends(stage.alpha_venue) == 0


def test_a_degraded_venue_is_reduced_on_a_synthetic_price_and_never_on_none(stage: Stage) -> None:
    stage.status(stage.alpha_venue, "degraded")
    blind = stage.intent(stage.alpha, reduce_only=True)
    blind = intent_submit(intent_id=blind.pk, actor=ACTOR)
    assert (blind.state, blind.reason.split(":")[0]) == ("failed", "VENUE_PRICE_STALE")
    stage.stand_in(stage.alpha_venue)
    seeing = intent_submit(intent_id=stage.intent(stage.alpha, reduce_only=True).pk, actor=ACTOR)
    assert (seeing.state, seeing.submission) == ("submitted", "acknowledged")
    assert stage.sends(stage.alpha_venue) == 1


def test_market_order_that_reduces_goes_whatever_the_data(stage: Stage) -> None:
    stage.status(stage.alpha_venue, "failing")
    intent = stage.intent(stage.alpha, type="market", price=None, reduce_only=True)
    sent = intent_submit(intent_id=intent.pk, actor=ACTOR)
    assert sent.state in {"filled", "submitted"}
    assert stage.sends(stage.alpha_venue) == 1


def test_exposure_at_a_failing_venue_is_hedged_elsewhere(stage: Stage) -> None:
    stage.status(stage.alpha_venue, "failing")
    stage.quote(stage.beta_venue)
    stage.alpha_venue.move("alpha", "BTCUSDT", "0.02")
    stage.sync()
    work()
    execution = HedgeExecution.objects.get()
    assert (execution.trigger_reason, execution.primary_account_id) == ("failover", "alpha")
    (intent,) = execution.intents.all()
    assert (intent.account_id, intent.side, intent.amount) == ("beta", "sell", D("0.02"))
    assert (stage.sends(stage.alpha_venue), stage.sends(stage.beta_venue)) == (0, 1)
    assert ["alpha", "QUOTE_STALE"] in execution.decision_inputs["skipped"]
