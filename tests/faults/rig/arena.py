"""Where the rig's scenarios happen: two paper venues, a book with a leg on each, a module."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from unittest import mock

from django.test import override_settings
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import ExchangeAccount
from accounts.services import account_sync
from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from controlplane.base.clock import database_now
from controlplane.faults import oracle
from controlplane.faults.oracle import VenueLedger, Violation
from controlplane.sentinel import Sentinel
from hedging.emergency import driving
from hedging.services import resolving, unknown_look
from markets.domain import venue_status
from markets.models import Instrument, MarketDataFeed, Quote, Venue
from markets.venues.paper.dialects.fapi_usage import Usage
from markets.venues.paper.faults import Fault
from markets.venues.ratelimit import limiter
from strategies.models import OrderIntent, StrategyModule
from tests import factories
from tests.accounts.paper import Paper, paper_venue

ACTOR = Actor(name="rig", surface=Surface.SENTINEL)
NAMES = ("long", "short")
SYMBOL = "BTCUSDT"
THRESHOLD = Decimal("0.0005")
SIZE = Decimal("0.5")
ROUNDS = 40
"""So many rounds of the sentinel bring everything to rest, or it never comes."""
PAUSE = 0.1
PROVABLE = (timedelta(seconds=40), timedelta(seconds=46))
"""Two looks this far ahead may prove that an order was never accepted."""
LEASE = timedelta(seconds=1)
"""A dead driver's accounts of a stop wait no longer: the rig kills hundreds of them."""
LIMITER_PACE = 100
UNBOUNDED = 1_000_000
UNTHROTTLED = {
    "HEDGE_THROTTLE_EXECUTIONS": UNBOUNDED,
    "HEDGE_THROTTLE_FAILURES": UNBOUNDED,
    "HEDGE_THROTTLE_REJECTS": UNBOUNDED,
}


class NotAtRest(AssertionError):
    """The product has not come to rest in time; the text says what is open."""


@dataclass
class Arena:
    """Account `long` at one venue and `short` at the other, equal and opposite."""

    venues: dict[str, Paper]
    accounts: dict[str, ExchangeAccount]
    instruments: dict[str, Instrument]
    module: StrategyModule
    feeds: dict[str, MarketDataFeed]

    def quote(self) -> None:
        """Take the venues' own prices over, as their feeds would."""
        now = timezone.now()
        for name, feed in self.feeds.items():
            quote = self.venues[name].server.core.engine.markets[SYMBOL].quote
            prices = {"bid": quote.bid, "ask": quote.ask, "bid_size": 5, "ask_size": 5}
            times = {"venue_at": now, "received_at": now, "sequence": 1}
            Quote.objects.update_or_create(feed=feed, defaults={**prices, **times})

    def size(self, name: str) -> Decimal:
        """What the venue itself says that an account holds; signed base."""
        held: Decimal = self.venues[name].server.core.engine.accounts[name].size(SYMBOL)
        return held

    def net(self) -> Decimal:
        return sum((self.size(name) for name in NAMES), Decimal(0))

    def resting(self, name: str) -> int:
        return len(self.venues[name].server.core.engine.accounts[name].open_orders)

    def move(self, name: str, amount: Decimal) -> None:
        """Trade as a person would in the venue's own interface."""
        self.venues[name].move(name, SYMBOL, str(amount))

    def fault(self, name: str, fault: Fault) -> None:
        self.venues[name].do(lambda: self.venues[name].server.faults.add(fault))

    def mend(self) -> None:
        for venue in self.venues.values():
            venue.do(venue.server.faults.clear)

    def sync(self) -> None:
        self.quote()
        for account in self.accounts.values():
            account_sync(account=account, actor=ACTOR)

    def ledgers(self) -> list[VenueLedger]:
        return [
            VenueLedger(venue.row.pk, venue.do(venue.server.ledger.since))
            for venue in self.venues.values()
        ]

    def violations(self, *, is_settled: bool) -> list[Violation]:
        return oracle.violations(self.ledgers(), is_settled=is_settled)

    def verify(self, seed: int | str) -> None:
        oracle.check(self.ledgers(), seed=seed, is_settled=True)

    def settle(self, *, neutral: bool = True) -> float:
        """Recover as the product does after a start, until all is at rest.

        Returns after how many seconds every order and trade of the venues was known. Raises
        NotAtRest when orders stay in doubt, jobs undone or, with `neutral`, the book unhedged.
        """
        sentinel, began, known = Sentinel(), time.monotonic(), None
        sentinel._owes_recovery = True  # as `run` does
        for _ in range(ROUNDS):
            self.quote()
            sentinel.round()
            work()
            missing = _missing(self.violations(is_settled=True))
            if known is None and not missing:
                known = time.monotonic() - began
            open_ = self._open(missing, neutral=neutral)
            if not open_ and known is not None:
                return known
            prove_absent()
            time.sleep(PAUSE)
            self.sync()
        raise NotAtRest(open_)

    def _open(self, missing: Sequence[Violation], *, neutral: bool) -> str:
        """Say what is not at rest; empty when all is."""
        doubted = OrderIntent.objects.filter(state="submitted").exclude(submission="acknowledged")
        waiting = OrderIntent.objects.filter(state="pending")
        found = [f"{it} {it.state}/{it.submission}" for it in (*doubted, *waiting)]
        if queued := OrmQ.objects.count():
            found.append(f"{queued} jobs")
        if neutral and abs(self.net()) > THRESHOLD:
            found.append(f"net {self.net()}")
        return "; ".join([*found, *map(str, missing)])


def _missing(found: list[Violation]) -> list[Violation]:
    """Return what is but not known yet."""
    return [it for it in found if it.invariant in ("I2", "I3")]


def work() -> int:
    """Do what is queued, as workers would: a job is off the queue only once it was done."""
    done = 0
    for queued in OrmQ.objects.order_by("pk"):
        jobs.execute(*queued.task["args"])
        queued.delete()
        done += 1
    return done


def prove_absent() -> None:
    """Look twice, as late as it takes, for every order of unknown fate."""
    for ahead in PROVABLE:
        lost = OrderIntent.objects.unknown().in_flight().values_list("pk", flat=True)
        with mock.patch.object(resolving, "database_now", partial(_later, ahead)):
            for pk in list(lost):
                unknown_look(intent_id=pk, actor=ACTOR)


def _later(ahead: timedelta) -> datetime:
    """The clock that the resolver goes by, set forward."""
    return database_now() + ahead


@contextmanager
def arena() -> Iterator[Arena]:
    """Serve the venues and store what the product must know, in an empty database."""
    with (
        override_settings(**UNTHROTTLED),
        mock.patch.object(driving, "LEASE", LEASE),
        mock.patch.object(limiter, "_LIMITER", _patient_limiter()),
        mock.patch.object(Usage, "add_weight", return_value=1),
        mock.patch.object(venue_status, "WRITES_REFUSED", UNBOUNDED),  # venues are broken here
        paper_venue(labels=("long",), long={"BTC": str(SIZE)}) as one,
        paper_venue(labels=("short",), short={"BTC": f"-{SIZE}"}) as other,
    ):
        venues = dict(zip(NAMES, (one, other), strict=True))
        for venue in venues.values():  # straight to the venue
            venue.row.rest_endpoint = venue.server.rest_url
            venue.row.save(update_fields=["rest_endpoint"])
        module = factories.module(module_id="hedger", dry_run_enabled=False)
        StrategyModule.objects.get_or_create(
            module_id="system-hedge",
            defaults={"name": "Hedging", "type": "hedge-only", "dry_run_enabled": False},
        )
        accounts = {name: venue.account(name) for name, venue in venues.items()}
        for account in accounts.values():
            factories.allocation(module=module, account=account)
        made = Arena(
            venues=venues,
            accounts=accounts,
            instruments={
                name: Instrument.objects.get(venue=venue.row, symbol="BTC")
                for name, venue in venues.items()
            },
            module=module,
            feeds={name: _feed(venue.row) for name, venue in venues.items()},
        )
        made.sync()
        made.sync()
        yield made


def _patient_limiter() -> limiter.Limiter:
    """Return a limiter whose minutes pass quickly: an account does here what others do in hours."""
    before = limiter.limiter()
    made = limiter.Limiter(clock=lambda: time.monotonic_ns() * LIMITER_PACE)
    made.share(before._board, processes=1)
    return made


def _feed(venue: Venue) -> MarketDataFeed:
    return factories.feed(
        exchange=venue, freshness_threshold=60_000, failover_deadline=90_000, status="healthy"
    )
