"""A stage for faults: one account at a paper venue over sockets, armed, with fresh prices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.choices import SyncStatus
from accounts.models import ExchangeAccount
from accounts.services import account_sync
from controlplane.base.audit import Actor, Surface
from controlplane.base.clock import database_now
from controlplane.faults import oracle
from controlplane.faults.oracle import VenueLedger
from hedging.models import ResolutionStep
from hedging.services import resolving, unknown_look
from markets.models import Instrument, MarketDataFeed, Quote
from markets.venues.paper.faults import Fault, FaultKind
from strategies import execution, services
from strategies.models import OrderIntent, StrategyModule
from tests import factories
from tests.accounts.paper import Paper, paper_venue

ACTOR = Actor(name="test", surface=Surface.SENTINEL)
D = Decimal


@dataclass
class Stage:
    """An account `alpha`, long 0.5 BTC, that may trade live."""

    paper: Paper
    account: ExchangeAccount
    instrument: Instrument
    module: StrategyModule
    feed: MarketDataFeed
    actor: Actor = field(default=ACTOR)

    def quote(self) -> None:
        market = self.paper.server.core.engine.markets["BTCUSDT"]
        now = timezone.now()
        Quote.objects.update_or_create(
            feed=self.feed,
            defaults={
                "bid": market.quote.bid,
                "ask": market.quote.ask,
                "bid_size": 5,
                "ask_size": 5,
                "venue_at": now,
                "received_at": now,
                "sequence": 1,
            },
        )

    @property
    def bid(self) -> Decimal:
        return self.paper.server.core.engine.markets["BTCUSDT"].quote.bid

    def wish(self, **fields: Any) -> OrderIntent:
        return services.intent_create(
            **{
                "module": self.module,
                "account": self.account,
                "instrument": self.instrument,
                "side": "buy",
                "type": "market",
                "amount": D("0.01"),
                "sandbox": False,
                "actor": self.actor,
                **fields,
            }
        )

    def rest(self, **fields: Any) -> OrderIntent:
        """Wish for an order that stays in the book."""
        price = (self.bid * D("0.998")).quantize(D("0.1"))
        return self.wish(**{"type": "post-only", "price": price, **fields})

    def submit(self, intent: OrderIntent) -> tuple[str, str]:
        self.quote()
        execution.intent_submit(intent_id=intent.pk, actor=self.actor)
        return place(intent)

    def look(self, intent: OrderIntent) -> ResolutionStep:
        step = unknown_look(intent_id=intent.pk, actor=self.actor)
        assert step is not None
        intent.refresh_from_db()
        return step

    def sync(self) -> str:
        job = account_sync(account=self.account, actor=self.actor)
        assert job is not None
        return SyncStatus(job.status)

    def fault(self, kind: FaultKind, method: str, path: str, **fields: Any) -> None:
        """Set a fault on a path below the venue's v1, or on a whole one."""
        whole = path if path.startswith("/") else f"/fapi/v1/{path}"
        fault = Fault(kind=kind, method=method, path=whole, **fields)
        self.paper.do(lambda: self.paper.server.faults.add(fault))

    def mend(self) -> None:
        self.paper.do(self.paper.server.faults.clear)

    def ledger(self, kind: str) -> list[dict[str, Any]]:
        return self.paper.do(lambda: self.paper.server.ledger.since(kind=kind))

    def requests(self, method: str, path: str) -> int:
        return sum(
            entry["method"] == method and entry["path"] == f"/fapi/v1/{path}"
            for entry in self.ledger("request")
        )

    def verify(self) -> None:
        """Let the oracle compare the venue's ledger with the database."""
        entries = self.paper.do(lambda: self.paper.server.ledger.since())
        oracle.check([VenueLedger(self.paper.row.pk, entries)])


def place(intent: OrderIntent) -> tuple[str, str]:
    intent.refresh_from_db()
    return intent.state, intent.submission


@pytest.fixture
def bare(transactional_db: None) -> Iterator[Stage]:
    """The stage before anything was read of the account."""
    with paper_venue(alpha={"BTC": "0.5"}) as paper:
        account = paper.account("alpha")
        module = factories.module(module_id="hedger", dry_run_enabled=False)
        factories.allocation(module=module, account=account)
        feed = factories.feed(
            exchange=paper.row,
            freshness_threshold=60_000,
            failover_deadline=90_000,
            status="healthy",
        )
        instrument = Instrument.objects.get(venue=paper.row, symbol="BTC")
        made = Stage(paper, account, instrument, module, feed)
        made.quote()
        yield made


@pytest.fixture
def stage(bare: Stage) -> Stage:
    assert bare.sync() == SyncStatus.SUCCESS
    return bare


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock that the resolver goes by forward, in seconds from now."""

    def forward(seconds: float) -> None:
        ahead = timedelta(seconds=seconds)
        monkeypatch.setattr(resolving, "database_now", lambda: database_now() + ahead)

    return forward
