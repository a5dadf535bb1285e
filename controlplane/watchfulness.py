"""The sentinel's two long watches: orders of unknown fate, and accounts not reconciled lately."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AccountState, ExchangeAccount, Position
from accounts.querysets import is_unreached
from accounts.services import account_sync, recovery_begin
from controlplane.background import Background
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.base.clock import database_now
from controlplane.kernel.events import EventType, Occurrence, Severity
from hedging import services as hedging
from strategies.models import OrderIntent

UNKNOWN_PAGES: Final = timedelta(seconds=60)
OVERDUE: Final = timedelta(seconds=5)
"""A sync later than its interval by this much is made here: the workers do not."""
DOUBTED: Final = timedelta(seconds=3)
"""A position that trades do not explain is looked at again after this."""
NOT_AGAIN_WITHIN: Final = timedelta(seconds=2)
MOVED_WITHIN: Final = timedelta(seconds=10)


@dataclass(slots=True)
class UnknownOrders:
    """Looks for every order of unknown fate until it is known, and pages for those that last."""

    actor: Actor
    background: Background
    _paged: set[UUID] = field(default_factory=set)

    def watch(self) -> int:
        """Begin the looks that are due; return how many."""
        lost = list(OrderIntent.objects.unknown().in_flight())
        self._paged &= {intent.pk for intent in lost}
        if not lost:
            return 0
        now, begun = database_now(), 0
        for intent in lost:
            if intent.pk not in self._paged and now - intent.updated_at >= UNKNOWN_PAGES:
                self._paged.add(intent.pk)
                _page(intent)
            due = hedging.next_look_at(intent)
            if due is None or now >= due:
                look = partial(hedging.unknown_look, intent_id=intent.pk, actor=self.actor)
                begun += self.background.start(("unknown", intent.pk), look)
        return begun


@dataclass(slots=True)
class Reconciliations:
    """Sees to it that every account is reconciled in time, whatever the workers do."""

    actor: Actor
    background: Background
    _begun_at: dict[str, datetime] = field(default_factory=dict)

    def recover(self) -> int:
        """Owe every account a reconciliation: nobody has watched until now."""
        return recovery_begin(
            at=timezone.now(), actor=self.actor, reason=_("the sentinel has started")
        )

    def watch(self) -> int:
        """Compare what streams have moved, and begin the looks that are due; return how many."""
        now = timezone.now()
        for account in _moved(now):
            hedging.positions_compare(account=account, at=now, actor=self.actor, is_look=False)
        begun = 0
        for state, was_unwatched in _due(now):
            last = self._begun_at.get(state.pk)
            if last is None or now - last >= NOT_AGAIN_WITHIN:
                self._begun_at[state.pk] = now
                look = partial(self._look, state.account, thorough=was_unwatched)
                begun += self.background.start(("reconcile", state.pk), look)
        return begun

    def _look(self, account: ExchangeAccount, *, thorough: bool) -> None:
        account_sync(account=account, actor=self.actor, thorough=thorough)


def _moved(now: datetime) -> list[ExchangeAccount]:
    """Return the accounts with a position just written that trades may not explain."""
    moved = Position.objects.live().filter(
        account=OuterRef("pk"), observed_at__gte=now - MOVED_WITHIN, base_size__isnull=False
    )
    return list(ExchangeAccount.objects.syncable().filter(Exists(moved)))


def _due(now: datetime) -> list[tuple[AccountState, bool]]:
    """Return the states of accounts to look at now, all that a client needs joined, and whether
    nobody has watched them: since a start, or since their venue or the way there was away.
    """
    doubted = Position.objects.live().filter(
        account=OuterRef("pk"),
        unexplained_at__isnull=False,
        unexplained_at__lte=now - DOUBTED,
        disputed_at__isnull=True,
    )
    interval = F("account__sync_interval_seconds") * timedelta(seconds=1)
    is_overdue = Q(reconciled_at__lt=now - OVERDUE - interval)
    is_owed = Q(reconciled_at=None) | Q(reconciled_at__lt=F("recovery_at"))
    is_doubted = Q(reconciled_at__lt=now - DOUBTED) & Exists(doubted)
    due = (
        AccountState.objects.filter(account__exchange__is_enabled=True)
        .filter(is_overdue | is_owed | is_doubted | is_unreached())
        .annotate(was_unwatched=is_owed | is_unreached())
        .select_related("account__exchange", "account__proxy_session__proxy_profile")
        .order_by("pk")
    )
    return [(state, bool(state.was_unwatched)) for state in due]


def _page(intent: OrderIntent) -> None:
    events.publish(
        Occurrence(
            type=EventType.ORDER,
            severity=Severity.CRITICAL,
            account_id=intent.account_id,
            module_id=intent.module_id,
            message=_("Nobody knows whether %(intent)s was accepted, for a minute now.")
            % {"intent": intent},
            payload={"code": "outcome_unknown", "intentId": str(intent.pk)},
        )
    )
