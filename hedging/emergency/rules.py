"""Stop rules, watched: what is confirmed beyond its threshold is held, once, until rearmed."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.choices import AccountStatus
from accounts.lifecycle import account_pause
from accounts.models import ExchangeAccount
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import plain
from hedging.domain.emergency import StopScope, StopTrigger
from hedging.domain.rules import Doubts, RuleAction, RuleScope, is_armed
from hedging.emergency.measures import Measured, Measures
from hedging.emergency.scopes import accounts_covered, book_of
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop, StopRule


@dataclass(slots=True)
class RuleWatch:
    """Looks at every account by every enabled rule; remembers only what is not confirmed yet.

    What it has done is on record as the account's status and the standing stop: that is the
    latch, so a restart or a second watch repeats nothing.
    """

    actor: Actor
    doubted: set[str] = field(default_factory=set)
    """Accounts beyond a threshold, not confirmed yet: a new reading is wanted soon."""
    _doubts: Doubts = field(default_factory=Doubts)
    _since: datetime | None = None

    def look(self) -> int:
        """Act on what is confirmed; return how often."""
        now = timezone.now()
        self._since = self._since or now
        self.doubted.clear()
        acted = 0
        rules = list(StopRule.objects.enabled())
        if rules:
            measures = Measures(since=self._since, now=now)
            acted = sum(
                self._judge(rule, measured) for rule in rules for measured in measures.of(rule)
            )
        self._doubts.round_over()
        return acted

    def _judge(self, rule: StopRule, measured: Measured) -> bool:
        account = measured.account
        if measured.value <= rule.threshold:
            return False
        if not is_armed(RuleAction(rule.action), AccountStatus(account.status)):
            return False
        key = (rule.pk, account.pk)
        if self._doubts.note(key, at=measured.at) < rule.confirmations:
            self.doubted.add(account.pk)
            return False
        self._doubts.forget(key)
        return _act(rule, measured, self.actor)


def _act(rule: StopRule, measured: Measured, actor: Actor) -> bool:
    """Hold what the rule says; False when all of it is held already."""
    scope = StopScope(str(rule.scope))
    target = _target(rule, measured.account)
    reason = _("rule %(rule)s: %(trigger)s of %(account)s is %(value)s, beyond %(most)s") % {
        "rule": rule.pk,
        "trigger": rule.trigger,
        "account": measured.account.pk,
        "value": plain(round(measured.value, 4)),
        "most": plain(rule.threshold),
    }
    if RuleAction(rule.action) is RuleAction.PAUSE:
        held = _pause(scope, target, reason, actor)
    else:
        held = _stop(rule, scope, target, reason, actor)
    if held:
        _tell(rule, measured, target, reason)
    return held


def _target(rule: StopRule, account: ExchangeAccount) -> str:
    match RuleScope(rule.scope):
        case RuleScope.ACCOUNT:
            return account.pk
        case RuleScope.BOOK:
            return book_of(account.pk)
        case RuleScope.VENUE:
            return account.exchange_id


def _pause(scope: StopScope, target: str, reason: str, actor: Actor) -> bool:
    """Pause every account of a scope that is active; return whether there was one."""
    covered = accounts_covered(scope, target, drill=False)
    active = ExchangeAccount.objects.filter(pk__in=covered, status=AccountStatus.ACTIVE)
    paused = 0
    for account in active.order_by("pk"):
        with suppress(Conflict):  # somebody else has, in this moment
            account_pause(account=account, actor=actor, reason=reason)
            paused += 1
    return paused > 0


def _stop(rule: StopRule, scope: StopScope, target: str, reason: str, actor: Actor) -> bool:
    if EmergencyStop.objects.standing().filter(scope=scope, target=target).exists():
        return False
    stop_engage(
        scope=scope,
        target=target,
        trigger=StopTrigger(str(rule.trigger)),
        flatten=RuleAction(rule.action) is RuleAction.FLATTEN,
        reason=reason,
        actor=actor,
    )
    return True


def _tell(rule: StopRule, measured: Measured, target: str, reason: str) -> None:
    events.publish(
        Occurrence(
            type=EventType.EMERGENCY,
            severity=Severity.CRITICAL,
            account_id=measured.account.pk,
            message=_("Held by itself (%(action)s %(target)s): %(reason)s")
            % {"action": rule.action, "target": target, "reason": reason},
            payload={
                "code": "stop-rule",
                "ruleId": rule.pk,
                "trigger": str(rule.trigger),
                "action": str(rule.action),
                "scope": str(rule.scope),
                "target": target,
                "value": plain(measured.value),
                "threshold": plain(rule.threshold),
                "at": measured.at.isoformat(),
            },
        )
    )
