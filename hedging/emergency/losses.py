"""Stop-loss: accounts held to their loss limits, and what is done when one is confirmed beyond."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import Min
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.choices import AccountStatus, StopLossAction
from accounts.domain.drawdown import HELD_FOR
from accounts.domain.stoploss import (
    Breach,
    Doubt,
    LossLimit,
    LossReading,
    LossRule,
    Tripped,
    breaches,
    may_be_transfer,
    seen_again,
    trips,
)
from accounts.lifecycle import account_pause
from accounts.models import AccountState, ExchangeAccount, Position
from accounts.peaks import Peaks
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import ZERO, plain
from hedging.domain.emergency import StopScope, StopTrigger
from hedging.emergency.reducing import book_reduce, is_undone
from hedging.emergency.scopes import book_of
from hedging.emergency.verbs import stop_engage
from markets.venues.registry import capabilities

ENVELOPE_CONFIRMATIONS: Final = 3
"""Readings in a row beyond the risk envelope's drawdown before its account's book is closed."""
ENVELOPE_COOL_DOWN: Final = timedelta(hours=1)
"""Who releases an account knows its drawdown: it is left alone for so long."""
VALID: Final = timedelta(minutes=2)
"""A balance read longer ago says nothing of now."""
UNDONE_AFTER: Final = timedelta(seconds=10)
"""A reduction of which nothing was sent, whatever for, is begun anew no sooner."""
UNDONE_WITHIN: Final = timedelta(hours=1)
"""... nor when it was begun longer ago."""

_Key = tuple[str, LossRule]


@dataclass(slots=True)
class LossWatch:
    """Looks at every account that may trade; remembers only how often a breach has been seen.

    After a restart it counts anew. That something was done is on record with the account.
    """

    actor: Actor
    doubted: set[str] = field(default_factory=set)
    """Accounts with a breach that is not confirmed yet: a new reading is wanted soon."""
    unread: set[str] = field(default_factory=set)
    """Those of them whose breach may be a transfer: their transfers are to be read as well."""
    _peaks: Peaks = field(default_factory=Peaks)
    _doubts: dict[_Key, Doubt] = field(default_factory=dict)
    _first: dict[_Key, float] = field(default_factory=dict)
    """When a breach that goes on was first seen, by the monotonic clock."""

    def look(self) -> int:
        """Act on what is confirmed; return on how many accounts."""
        now = timezone.now()
        _undone_forget(now)
        self.doubted.clear()
        self.unread.clear()
        seen: set[_Key] = set()
        acted = 0
        for account, reading in _readings(self._peaks, now):
            for breach in breaches(_limits(account), reading):
                key = (account.pk, breach.limit.rule)
                seen.add(key)
                self._doubts[key] = doubt = seen_again(self._doubts.get(key), at=reading.at)
                is_held = self._is_held(account, breach, reading)
                if trips(breach, doubt, last=_last(account), now=now) and not is_held:
                    self._act(account, breach, reading, now)
                    acted += 1
                    break
                if is_held or doubt.count < breach.limit.confirmations:
                    self.doubted.add(account.pk)
        self._doubts = {key: doubt for key, doubt in self._doubts.items() if key in seen}
        self._first = {key: began for key, began in self._first.items() if key in seen}
        return acted

    def _is_held(self, account: ExchangeAccount, breach: Breach, reading: LossReading) -> bool:
        """Tell whether to wait for the venue's history, for seconds: it may tell of a transfer."""
        began = self._first.setdefault((account.pk, breach.limit.rule), time.monotonic())
        if time.monotonic() - began >= HELD_FOR.total_seconds():
            return False
        venue = account.exchange
        is_told = capabilities(venue.dialect, venue.endpoint()).transfer_history
        if not is_told or not may_be_transfer(breach, reading):
            return False
        self.unread.add(account.pk)
        return True

    @transaction.atomic
    def _act(
        self, account: ExchangeAccount, breach: Breach, reading: LossReading, now: datetime
    ) -> None:
        """Mark the account and act, both or neither: begun once, whoever else looks."""
        before = account.state.stop_loss_at
        won = AccountState.objects.filter(pk=account.pk, stop_loss_at=before).update(
            stop_loss_at=now, stop_loss_action=str(breach.limit.action)
        )
        if not won:
            return
        reason = _("%(rule)s: %(value)s is beyond %(most)s") % {
            "rule": breach.limit.rule,
            "value": plain(round(breach.value, 4)),
            "most": plain(breach.limit.most),
        }
        _tell(account, breach, reading, reason)
        match breach.limit.action:
            case StopLossAction.PAUSE:
                account_pause(account=account, actor=self.actor, reason=reason)
            case StopLossAction.REDUCE:
                book_reduce(key=book_of(account.pk), actor=self.actor, reason=reason)
            case StopLossAction.FLATTEN:
                stop_engage(
                    scope=StopScope.BOOK,
                    target=book_of(account.pk),
                    trigger=StopTrigger.DRAWDOWN,
                    reason=f"{account.pk} {reason}",
                    actor=self.actor,
                )


def _undone_forget(now: datetime) -> None:
    """Forget of each account the reduction of which nothing was sent: it is decided anew.

    So a loss that lasts is acted on again, at today's prices, and one that is over is not.
    """
    begun = AccountState.objects.filter(
        stop_loss_action=str(StopLossAction.REDUCE),
        stop_loss_at__lte=now - UNDONE_AFTER,
        stop_loss_at__gt=now - UNDONE_WITHIN,
    )
    for account_id, at in begun.values_list("account_id", "stop_loss_at"):
        if at is not None and is_undone(key=book_of(account_id), since=at):
            AccountState.objects.filter(account=account_id, stop_loss_at=at).update(
                stop_loss_at=None, stop_loss_action=None
            )


def _last(account: ExchangeAccount) -> Tripped | None:
    """Return what was done with the account last."""
    at, action = account.state.stop_loss_at, account.state.stop_loss_action
    return None if at is None else Tripped(at, StopLossAction(action) if action else None)


def _readings(peaks: Peaks, now: datetime) -> Iterable[tuple[ExchangeAccount, LossReading]]:
    """Yield the accounts that may trade and were read lately, each with its figures."""
    accounts = (
        ExchangeAccount.objects.exclude(status=AccountStatus.EMERGENCY)
        .filter(state__balance_at__gte=now - VALID, state__equity__isnull=False)
        .select_related("state", "risk_envelope", "stop_loss_config", "exchange")
        .defer(*ExchangeAccount.secret_fields)
    )
    worst = dict(
        Position.objects.live()
        .held()
        .order_by()
        .values_list("account_id")
        .annotate(worst=Min("unrealized_pnl"))
    )
    for account in accounts:
        state = account.state
        at, equity = state.balance_at, state.equity
        if at is not None and equity is not None:
            of_day, peak = peaks.of(account.pk, equity, at, tried_at=state.transfers_tried_at)
            loss = max(ZERO, -(worst.get(account.pk) or ZERO))
            yield account, LossReading(at, equity, of_day, peak, loss, *_wallet(state, at))


def _wallet(state: AccountState, at: datetime) -> tuple[Decimal, bool]:
    """Return what nothing explains of the wallet read at `at`, and whether that is known yet."""
    if state.cash_agreed_at is None:  # it is not compared, so nothing speaks for a transfer
        return ZERO, True
    is_compared = state.reconciled_at is not None and state.reconciled_at >= at
    return state.cash_unexplained, is_compared


def _limits(account: ExchangeAccount) -> Sequence[LossLimit]:
    """Return the account's limits: its template's, while it is not paused, and its envelope's."""
    config = account.stop_loss_config
    limits = [
        LossLimit(
            LossRule.ENVELOPE_DRAWDOWN,
            account.risk_envelope.max_drawdown_percent,
            StopLossAction.FLATTEN,
            ENVELOPE_CONFIRMATIONS,
            ENVELOPE_COOL_DOWN,
        )
    ]
    if config is None:
        return limits
    action = StopLossAction(config.action)
    if action is StopLossAction.PAUSE and account.status != AccountStatus.ACTIVE:
        return limits
    for rule, most in (
        (LossRule.DAILY_DRAWDOWN, config.max_daily_drawdown_percent),
        (LossRule.PEAK_DRAWDOWN, config.max_peak_drawdown_percent),
        (LossRule.POSITION_LOSS, config.max_position_loss),
    ):
        if most is not None:
            cool_down = timedelta(seconds=config.cool_down_seconds)
            limits.append(LossLimit(rule, most, action, config.confirmations, cool_down))
    return limits


def _tell(account: ExchangeAccount, breach: Breach, reading: LossReading, reason: str) -> None:
    events.publish(
        Occurrence(
            type=EventType.EMERGENCY,
            severity=Severity.CRITICAL,
            account_id=account.pk,
            message=_("Stop-loss of %(account)s (%(action)s): %(reason)s")
            % {"account": account.pk, "action": breach.limit.action, "reason": reason},
            payload={
                "code": "stop-loss",
                "rule": str(breach.limit.rule),
                "action": str(breach.limit.action),
                "value": plain(breach.value),
                "most": plain(breach.limit.most),
                "equity": plain(reading.equity),
                "dayPeak": plain(round(reading.day_peak, 2)),
                "peak": plain(round(reading.peak, 2)),
                "unexplained": plain(reading.unexplained),
            },
        )
    )
