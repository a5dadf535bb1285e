"""The sentinel: once a second, what must happen even when every faster path has failed.

It depends on nothing but the database and the venues: not on feeds, not on workers. Each step
stands alone, so one that breaks does not keep the others from running, and what waits on a venue
does so on threads beside the round.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db import close_old_connections, connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.checking import sessions_retry
from accounts.jobs import syncs_enqueue_due
from accounts.proxies import accounts_settle
from controlplane.background import Background
from controlplane.base import events
from controlplane.base.audit import Actor, Surface
from controlplane.base.clock import database_now
from controlplane.base.jobs import enqueue
from controlplane.clock_watch import ClockWatch
from controlplane.database_watch import DatabaseWatch
from controlplane.emergencies import Emergencies
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.setback import record_watch
from controlplane.watchfulness import Reconciliations, UnknownOrders
from hedging import services as hedging
from hedging.choices import TriggerReason
from hedging.emergency.reducing import MARK as STOP_LOSS
from hedging.facts import book_facts, topology
from hedging.services.watching import BookWatch
from markets.models import Venue
from markets.services import feeds_watch
from markets.venue_watch import clock_measure, venues_judge
from strategies import services as strategies
from strategies.claims import claims_recover
from strategies.failover import resting_on_failing
from strategies.jobs import CancelIntent, EvaluateModules
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)

ROUND_SECONDS: Final = 1.0
CLOCKS_EVERY: Final = 3.0
"""Seconds between two looks at a venue's clock: one that is off is told of within five."""
RECORD_EVERY: Final = 5.0
"""Seconds between two marks of how far the record has come."""
DATABASE_EVERY: Final = 30.0
"""Seconds between two looks at PostgreSQL itself."""
EVALUATE_EVERY: Final = timedelta(seconds=10)
CANCEL_AGAIN: Final = timedelta(seconds=10)
"""An order that still rests this long after its cancel was asked for is asked about again."""
STALE_HEDGE: Final = timedelta(seconds=10)
"""An order of a hedge, or of a stop-loss, not claimed by then is withdrawn; it is decided anew."""
THREADS: Final = 8
"""For what waits on venues: looks for unknown orders, and reconciliations."""
URGENT_THREADS: Final = 4
"""For emergency stops alone: they wait behind nothing else."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """How one step went. `done` counts what it did; `error` is empty when it did not break."""

    name: str
    milliseconds: int
    done: int
    error: str


@dataclass(slots=True)
class Sentinel:
    """Runs the steps; keeps in memory only what keeps it from telling the same twice."""

    actor: Actor = field(default_factory=lambda: Actor(name="sentinel", surface=Surface.SENTINEL))
    background: Background = field(default_factory=Background)
    urgent: Background = field(default_factory=Background)
    _emergencies: Emergencies = field(init=False)
    _unknown: UnknownOrders = field(init=False)
    _reconciliations: Reconciliations = field(init=False)
    _watch: BookWatch = field(default_factory=BookWatch)
    _utilization: hedging.UtilizationWatch = field(default_factory=hedging.UtilizationWatch)
    _makers: hedging.MakerWatch = field(default_factory=hedging.MakerWatch)
    _evaluated_at: datetime | None = None
    _cancelled: dict[UUID, datetime] = field(default_factory=dict)
    _recorded_at: float = field(default=-RECORD_EVERY)
    _clock: ClockWatch = field(default_factory=ClockWatch)
    _database: DatabaseWatch = field(default_factory=DatabaseWatch)
    _database_at: float = field(default=-DATABASE_EVERY)
    _clocks_at: float = field(default=-CLOCKS_EVERY)
    _owes_recovery: bool = False
    _broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._emergencies = Emergencies(self.actor, self.urgent)
        self._unknown = UnknownOrders(self.actor, self.background)
        self._reconciliations = Reconciliations(self.actor, self.background)

    def round(self) -> list[StepReport]:
        """Do every step once."""
        return [self._step(step) for step in self._steps()]

    def run(self, stop: threading.Event, *, told: Callable[[list[StepReport]], None]) -> None:
        """Do a round each second until `stop`; a late round is not made up for.

        The first one owes every account a reconciliation.
        """
        self._owes_recovery = True
        while not stop.is_set():
            began = time.monotonic()
            close_old_connections()
            told(self.round())
            stop.wait(max(0.0, ROUND_SECONDS - (time.monotonic() - began)))

    def _steps(self) -> tuple[Callable[[], int], ...]:
        return (
            self.clock,
            self.record,
            self.losses,
            self.rules,
            self.emergencies,
            self.timers,
            self.recovery,
            self.claims,
            self.unknown,
            self.reconciliations,
            self.fills,
            self.stale,
            self.makers,
            self.executions,
            self.books,
            self.utilization,
            self.feeds,
            self.venues,
            self.failing,
            self.syncs,
            self.proxies,
            self.database,
            self.modules,
        )

    def _step(self, step: Callable[[], int]) -> StepReport:
        name, began, done, error = step.__name__, time.monotonic(), 0, ""
        try:
            done = step()
        except Exception as trouble:
            error = type(trouble).__name__
            # A step that breaks each second would fill the log.
            if name not in self._broken:
                logger.exception("The sentinel's step %s broke.", name)
            self._broken.add(name)
            if not connection.in_atomic_block:
                close_old_connections()  # the next step gets a connection that lives
        else:
            self._broken.discard(name)
        return StepReport(name, int((time.monotonic() - began) * 1000), done, error)

    def clock(self) -> int:
        """Keep to the database's clock, by which all ages are told."""
        return self._clock.look()

    def emergencies(self) -> int:
        """Bring emergency stops on, whoever engaged them and whatever became of the workers."""
        return self._emergencies.watch()

    def record(self) -> int:
        """Count on in the record; one that was set back pauses every account."""
        now = time.monotonic()
        if now - self._recorded_at < RECORD_EVERY:
            return 0
        self._recorded_at = now
        return record_watch(actor=self.actor)

    def losses(self) -> int:
        """Pause, reduce or close where an account has lost more than it may."""
        return self._emergencies.losses()

    def rules(self) -> int:
        """Hold accounts that are beyond a stop rule's threshold."""
        return self._emergencies.rules()

    def timers(self) -> int:
        """Have venues cancel what rests there should this process fall silent."""
        return self._emergencies.timers()

    def claims(self) -> int:
        """Call unknown the sends whose worker is gone."""
        return len(claims_recover(now=database_now(), actor=self.actor))

    def recovery(self) -> int:
        """After a start let no account open anything until it is reconciled anew."""
        if not self._owes_recovery:
            return 0
        owed = self._reconciliations.recover()
        self._owes_recovery = False
        return owed

    def reconciliations(self) -> int:
        """Reconcile the accounts that nobody has reconciled in time."""
        return self._reconciliations.watch()

    def unknown(self) -> int:
        """Look for orders of unknown fate, and tell of those that stay so."""
        return self._unknown.watch()

    def fills(self) -> int:
        """Attach trades to orders that turned out to be ours."""
        return len(hedging.fills_attach(actor=self.actor))

    def stale(self) -> int:
        """Withdraw orders of hedges and of stop-losses that no worker has claimed in time."""
        of_hedge = Q(hedge_executions__result=None, hedge_executions__isnull=False)
        waiting = OrderIntent.objects.filter(
            of_hedge | Q(reason__startswith=STOP_LOSS),
            state="pending",
            created_at__lt=Now() - STALE_HEDGE,
        )
        withdrawn = 0
        for intent in waiting:
            with suppress(Conflict):  # a worker has claimed it just now
                strategies.intent_withdraw(
                    intent=intent, reason=_("No worker claimed it in time."), actor=self.actor
                )
                withdrawn += 1
        return withdrawn

    def makers(self) -> int:
        """Have hedge orders cancelled that have rested long enough."""
        return self._makers.look(now=timezone.now())

    def executions(self) -> int:
        """End the hedges whose orders are decided."""
        return len(hedging.executions_finish())

    def books(self) -> int:
        """Look at every book: the guarantee behind all faster triggers."""
        now = timezone.now()
        looks = book_facts(topology(), now=now)
        started = hedging.facts_evaluate(
            looks, trigger_reason=TriggerReason.DELTA, actor=self.actor, now=now
        )
        self._watch.look(looks, now=now)
        return len(started)

    def utilization(self) -> int:
        """Reduce the books of accounts above their utilization band."""
        return len(self._utilization.look(actor=self.actor))

    def feeds(self) -> int:
        """Call failing the feeds that claim to be well and are not heard of."""
        return feeds_watch(now=timezone.now())

    def venues(self) -> int:
        """Measure the venues' clocks, and tell of venues that are not as they should be."""
        now = time.monotonic()
        if self.background.has_threads and now - self._clocks_at >= CLOCKS_EVERY:
            self._clocks_at = now
            for venue in Venue.objects.in_use():
                self.background.start(("clock", venue.pk), partial(clock_measure, venue))
        return venues_judge(now=timezone.now())

    def failing(self) -> int:
        """Have orders cancelled that rest where the market data fails; again while they do."""
        now = timezone.now()
        resting = resting_on_failing()
        asked = {pk: at for pk, at in self._cancelled.items() if pk in {it.pk for it in resting}}
        due = [it for it in resting if it.pk not in asked or now - asked[it.pk] >= CANCEL_AGAIN]
        for intent in due:
            enqueue(CancelIntent, intent_id=str(intent.pk))
            if intent.pk not in asked:
                self._tell_cancelled(intent)
        self._cancelled = asked | {intent.pk: now for intent in due}
        return len(due)

    def syncs(self) -> int:
        """Queue the syncs that are due."""
        return syncs_enqueue_due(now=timezone.now(), actor=self.actor)

    def proxies(self) -> int:
        """Look for a way out for accounts that have none; move those that may not stay."""
        if self.background.has_threads:
            self.background.start(("proxies",), partial(sessions_retry, actor=self.actor))
        return accounts_settle(actor=self.actor)

    def database(self) -> int:
        """Tell of what would slow or stop PostgreSQL."""
        now = time.monotonic()
        if now - self._database_at < DATABASE_EVERY:
            return 0
        self._database_at = now
        return self._database.look()

    def modules(self) -> int:
        """Queue a look of the strategies at their markets."""
        now = timezone.now()
        if self._evaluated_at and now - self._evaluated_at < EVALUATE_EVERY:
            return 0
        self._evaluated_at = now
        enqueue(EvaluateModules)
        return 1

    def _tell_cancelled(self, intent: OrderIntent) -> None:
        events.publish(
            Occurrence(
                type=EventType.FAILOVER_ALERT,
                severity=Severity.WARN,
                account_id=intent.account_id,
                module_id=intent.module_id,
                message=_("%(intent)s rests where the market data fails; it is cancelled.")
                % {"intent": intent},
                payload={"code": "resting_on_failing_feed", "intentId": str(intent.pk)},
            )
        )
