"""The two verbs of an emergency stop: engage it, and release what it holds."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.choices import AccountStatus
from accounts.lifecycle import account_rearmed
from accounts.models import AccountState, ExchangeAccount
from controlplane import bus
from controlplane.base import audit, jobs
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied
from hedging.domain.emergency import StopEvent, StopScope, StopState, StopTrigger, advance
from hedging.emergency import telling
from hedging.emergency.rows import row_move, stop_follow
from hedging.emergency.scopes import accounts_covered
from hedging.jobs import DriveStop
from hedging.models import EmergencyStop, StoppedAccount
from strategies.choices import ModuleStatus
from strategies.lifecycle import module_disable
from strategies.models import StrategyModule

ENGAGED = audit.register("emergency.engaged", label=_("Emergency stop engaged"))
RELEASED = audit.register("emergency.released", label=_("Emergency stop released"))
MAX_REASON: Final = 500


def stop_engage(
    *,
    scope: StopScope | str,
    target: str = "",
    actor: Actor,
    reason: str,
    flatten: bool = True,
    trigger: StopTrigger = StopTrigger.MANUAL,
    drill: bool = False,
) -> EmergencyStop:
    """Stop everything in a scope: from the commit on nothing that adds to a position is sent.

    Cancelling, closing and verifying follow by themselves. A stop of the same scope that stands
    already is returned as it is. Raises Denied for a wrong scope or target, or without a reason.
    """
    reason = _said(reason)
    try:
        scope = StopScope(scope)
    except ValueError:
        raise Denied("UNKNOWN_SCOPE", f"UNKNOWN_SCOPE: scope={scope}") from None
    try:
        return _engage(
            scope,
            target,
            actor=actor,
            reason=reason,
            flatten=flatten,
            trigger=StopTrigger.DRILL if drill else trigger,
            drill=drill,
        )
    except IntegrityError:  # somebody else pulled it in this moment
        standing = EmergencyStop.objects.standing().filter(scope=scope, target=target).first()
        if standing is None:
            raise
        return standing


@transaction.atomic
def _engage(
    scope: StopScope,
    target: str,
    *,
    actor: Actor,
    reason: str,
    flatten: bool,
    trigger: StopTrigger,
    drill: bool,
) -> EmergencyStop:
    covered = accounts_covered(scope, target, drill=drill)
    standing = EmergencyStop.objects.standing().filter(scope=scope, target=target).first()
    if standing is not None:
        if standing.drill != drill:
            raise Conflict(f"A stop of {standing} stands already.")
        return standing
    with audit.context(ENGAGED, actor=actor, reason=reason):
        stop = EmergencyStop.objects.create(
            scope=scope,
            target=target,
            trigger=trigger,
            flatten=flatten,
            drill=drill,
            reason=reason,
            engaged_by=actor.name,
        )
        accounts_hold(stop, covered)
    if scope is StopScope.MODULE:
        module = StrategyModule.objects.get(pk=target)
        if module.status == ModuleStatus.ENABLE:
            module_disable(module=module, actor=actor, reason=reason)
    telling.engaged(stop, actor=actor)
    _announce(stop)
    return stop


def accounts_hold(stop: EmergencyStop, books: Mapping[str, str]) -> None:
    """Take accounts into a stop, within a transaction; `books` is account -> book.

    Their rows are locked: a claim made before has been committed, one made after sees the stop.
    `updated_at` is left: it tells of changed keys and routes, for which streams are opened anew.
    """
    now = timezone.now()
    rows = ExchangeAccount.objects.filter(pk__in=books).locked().without_keys()
    accounts = list(rows.select_related("risk_envelope"))
    held = dict(
        StoppedAccount.objects.standing()
        .filter(account__in=books, account__status=AccountStatus.EMERGENCY)
        .order_by("-row_id")  # the oldest, which knows what was before, is put in last
        .values_list("account_id", "prior_status")
    )
    StoppedAccount.objects.bulk_create(
        StoppedAccount(
            stop=stop,
            account=account,
            book=books[account.pk],
            prior_status=held.get(account.pk, _before(account)),
            blocked_at=now,
            next_try_at=now,
            deadline_at=now + timedelta(seconds=account.risk_envelope.emergency_stop_loss_seconds),
        )
        for account in accounts
    )
    if stop.scope != StopScope.MODULE:
        ExchangeAccount.objects.filter(pk__in=books).update(status=AccountStatus.EMERGENCY)


def stops_widen(*, actor: Actor) -> int:
    """Take accounts into standing stops whose scope they have come into since; return how many.

    A new account of a stopped venue, for instance: a stop holds for what it says, not for what
    there was at the moment.
    """
    added = 0
    for stop in EmergencyStop.objects.standing().order_by("pk"):
        try:
            covered = accounts_covered(StopScope(stop.scope), stop.target, drill=stop.drill)
        except Denied:  # its target is gone
            continue
        known = set(stop.accounts.values_list("account_id", flat=True))
        if new := {name: book for name, book in covered.items() if name not in known}:
            added += len(new)
            _widen(stop, new, actor=actor)
    return added


@transaction.atomic
def _widen(stop: EmergencyStop, new: Mapping[str, str], *, actor: Actor) -> None:
    stop = EmergencyStop.objects.select_for_update(of=("self",)).get(pk=stop.pk)
    known = set(stop.accounts.values_list("account_id", flat=True))
    if stop.state != StopState.RELEASED:
        reason = f"Came into the scope of the stop of {stop}."
        with audit.context(ENGAGED, actor=actor, reason=reason):
            accounts_hold(stop, {name: book for name, book in new.items() if name not in known})


def _before(account: ExchangeAccount) -> str:
    """Return the status to go back to; one in emergency without a stop comes back paused."""
    is_stopped = account.status == AccountStatus.EMERGENCY
    return AccountStatus.PAUSED if is_stopped else AccountStatus(account.status)


@transaction.atomic
def stop_release(
    *, stop: EmergencyStop, actor: Actor, reason: str, account_ids: Collection[str] | None = None
) -> EmergencyStop:
    """Let the accounts of a stop (or those named) trade as before; a stopped module stays off.

    Raises Denied without a reason, and Conflict while an account is NOT confirmed or has not been
    reconciled anew since it was. An account that another stop holds stays stopped.
    """
    reason = _said(reason)
    stop = EmergencyStop.objects.select_for_update(of=("self",)).get(pk=stop.pk)
    if stop.state == StopState.RELEASED:
        raise Conflict(f"The stop of {stop} is released already.")
    rows = list(_to_release(stop, account_ids))
    now = timezone.now()
    with audit.context(RELEASED, actor=actor, reason=reason):
        for row in rows:
            row_move(row, StopEvent.RELEASE)
            if stop.scope != StopScope.MODULE:
                _give_back(row)
        if not stop.accounts.standing().exists():
            stop_follow(stop)  # where a driver has not come to it yet
            stop.refresh_from_db(fields=["state"])
            EmergencyStop.objects.filter(pk=stop.pk).update(
                state=advance(StopState(stop.state), StopEvent.RELEASE),
                released_by=actor.name,
                release_reason=reason,
                released_at=now,
            )
            stop.refresh_from_db()
    telling.released(stop, rows, actor=actor, reason=reason)
    _announce(stop, drive=False)
    return stop


def _to_release(
    stop: EmergencyStop, account_ids: Collection[str] | None
) -> Collection[StoppedAccount]:
    rows = stop.accounts.standing().select_for_update(of=("self",)).order_by("account_id")
    if account_ids is not None:
        rows = rows.filter(account__in=account_ids)
        if missing := set(account_ids) - set(rows.values_list("account_id", flat=True)):
            raise Denied("UNKNOWN_TARGET", f"UNKNOWN_TARGET: accounts={sorted(missing)}")
    found = list(rows)
    open_ = [row.account_id for row in found if row.state != StopState.LATCHED]
    if open_:
        raise Conflict(f"NOT confirmed: {', '.join(open_)}.", details={"accounts": open_})
    stale = [row.account_id for row in found if not _is_reconciled(row)]
    if stale:
        raise Conflict(
            f"Not reconciled since the stop was confirmed: {', '.join(stale)}.",
            details={"accounts": stale},
        )
    return found


def _is_reconciled(row: StoppedAccount) -> bool:
    at: datetime | None = AccountState.objects.values_list("reconciled_at", flat=True).get(
        pk=row.account_id
    )
    return at is not None and row.confirmed_at is not None and at > row.confirmed_at


def _give_back(row: StoppedAccount) -> None:
    """Give an account its status back, unless another stop holds it."""
    others = StoppedAccount.objects.standing().filter(account=row.account_id)
    if others.exclude(stop__scope=StopScope.MODULE).exists():
        return
    ExchangeAccount.objects.filter(pk=row.account_id, status=AccountStatus.EMERGENCY).update(
        status=row.prior_status
    )
    account_rearmed(row.account_id)


def _said(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise Denied("REASON_REQUIRED", "REASON_REQUIRED: say why.")
    return reason[:MAX_REASON]


def _announce(stop: EmergencyStop, *, drive: bool = True) -> None:
    bus.send("console", "console.changed", topic="accounts")
    if drive:
        jobs.enqueue(DriveStop, stop_id=str(stop.pk))
