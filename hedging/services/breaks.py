"""Breaks: opened once, kept up to date, closed when their reason is gone or a person says so."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.lifecycle import account_pause
from accounts.models import AccountState, ExchangeAccount, Position
from controlplane import bus
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied
from controlplane.kernel.events import EventType, Occurrence, Severity
from hedging.choices import BreakStatus
from hedging.domain.reconciliation import BreakKind, Difference, severity_of
from hedging.models import ReconciliationBreak
from markets.models import Instrument


@transaction.atomic
def breaks_settle(
    *,
    account: ExchangeAccount,
    kinds: Collection[BreakKind],
    differences: Iterable[Difference],
    at: datetime,
    actor: Actor,
    subjects: Collection[str] | None = None,
) -> list[ReconciliationBreak]:
    """Bring an account's open breaks of `kinds` in line with what differs now; return them.

    `kinds` (and `subjects`, where given) are those that could be looked for: what could not stays
    as it is. A difference that a person accepted as it is does not open again until it has
    changed.
    """
    now_known = {(item.kind, item.subject): item for item in differences}
    open_ones = ReconciliationBreak.objects.open().select_for_update().order_by("pk")
    rows = {
        (BreakKind(row.kind), row.subject): row
        for row in open_ones.filter(account=account, kind__in=[str(kind) for kind in kinds])
    }
    for key, row in rows.items():
        if key not in now_known and (subjects is None or row.subject in subjects):
            _close(row, BreakStatus.RESOLVED, _("The reason is gone."), actor=actor)
    kept = []
    for key, difference in now_known.items():
        row = rows.get(key) or _open(account, difference, actor=actor)
        if row is not None:
            _update(row, difference, at=at, actor=actor)
            kept.append(row)
    return kept


@transaction.atomic
def break_take(
    *, reconciliation_break: ReconciliationBreak, actor: Actor, reason: str
) -> ReconciliationBreak:
    """Make the person who asks the owner of an open break; raises Conflict for a closed one."""
    row = _locked(reconciliation_break)
    row.owner_id = _person(actor)
    row.save(update_fields=["owner"])
    _tell(row, _("taken on by %(name)s: %(reason)s"), actor=actor, reason=reason)
    return row


@transaction.atomic
def break_accept(
    *, reconciliation_break: ReconciliationBreak, actor: Actor, reason: str
) -> ReconciliationBreak:
    """Close an open break as a person decides: what the venue says holds from now on.

    A disputed position is taken over as it is, and its instrument may be traded again. Raises
    Denied for a machine, Conflict for a closed break.
    """
    row = _locked(reconciliation_break)
    row.owner_id = _person(actor)
    if row.kind == BreakKind.POSITION_MISMATCH:
        Position.objects.live().filter(account=row.account_id, instrument=row.instrument_id).update(
            base_size=None, base_at=None, unexplained=0, unexplained_at=None, disputed_at=None
        )
    if row.kind == BreakKind.BALANCE_MISMATCH:
        AccountState.objects.filter(pk=row.account_id).update(
            base_cash=None,
            base_cash_at=None,
            cash_agreed_at=None,
            cash_unexplained=0,
            cash_unexplained_at=None,
        )
    return _close(row, BreakStatus.ACCEPTED, reason, actor=actor)


def _locked(row: ReconciliationBreak) -> ReconciliationBreak:
    locked: ReconciliationBreak = (
        ReconciliationBreak.objects.select_for_update(of=("self",))
        .select_related("account", "instrument")
        .get(pk=row.pk)
    )
    if locked.status != BreakStatus.OPEN:
        raise Conflict(f"The break is {locked.status} already.", details={"status": locked.status})
    return locked


def _person(actor: Actor) -> int:
    if actor.user_id is None:
        raise Denied("PERSON_REQUIRED", "PERSON_REQUIRED: a person settles a break.")
    return actor.user_id


def _open(
    account: ExchangeAccount, difference: Difference, *, actor: Actor
) -> ReconciliationBreak | None:
    last = ReconciliationBreak.objects.filter(
        account=account, kind=str(difference.kind), subject=difference.subject
    ).first()
    is_accepted = last is not None and last.status == BreakStatus.ACCEPTED
    if last is not None and is_accepted and last.details == dict(difference.details):
        return None
    row = ReconciliationBreak.objects.create(
        account=account,
        instrument=Instrument.objects.filter(
            venue=account.exchange_id, venue_symbol=difference.venue_symbol
        ).first(),
        kind=str(difference.kind),
        subject=difference.subject,
        severity=str(severity_of(difference.kind, timedelta())),
        details=dict(difference.details),
    )
    _tell(row, _("differs from its venue's record: %(reason)s"), actor=actor, reason=row.subject)
    if difference.kind is BreakKind.ORDER_UNKNOWN_TO_US:
        _distrust(account, actor=actor)
    return row


def _distrust(account: ExchangeAccount, *, actor: Actor) -> None:
    """Pause an account with an order of ours that we do not know: our record lacks something."""
    with suppress(Conflict):  # it does not trade anyway
        account_pause(
            account=account,
            actor=actor,
            reason=_("its venue has an order of ours that is not on record"),
        )


def _update(
    row: ReconciliationBreak, difference: Difference, *, at: datetime, actor: Actor
) -> None:
    """Take over what differs now; tell again when the break has become graver."""
    severity = severity_of(difference.kind, timezone.now() - row.opened_at)
    is_graver = severity != row.severity
    row.details, row.seen_at, row.severity = dict(difference.details), at, str(severity)
    row.save(update_fields=["details", "seen_at", "severity"])
    if is_graver:
        _tell(row, _("still differs: %(reason)s"), actor=actor, reason=row.subject)


def _close(
    row: ReconciliationBreak, status: BreakStatus, resolution: str, *, actor: Actor
) -> ReconciliationBreak:
    row.status, row.resolution, row.closed_at = str(status), resolution, timezone.now()
    row.save(update_fields=["status", "resolution", "closed_at", "owner"])
    _tell(
        row,
        _("agrees with its venue's record again (%(status)s by %(name)s): %(reason)s"),
        actor=actor,
        reason=resolution,
        severity=Severity.INFO,
    )
    return row


def _tell(
    row: ReconciliationBreak,
    text: str,
    *,
    actor: Actor,
    reason: str,
    severity: Severity | None = None,
) -> None:
    said = text % {"name": actor.name, "reason": reason, "status": row.status}
    events.publish(
        Occurrence(
            type=EventType.ACCOUNT,
            severity=severity or Severity(row.severity),
            account_id=row.account_id,
            message=f"{row.account_id} {row.kind}: {said}",
            payload={
                "code": "reconciliation_break",
                "breakId": str(row.pk),
                "kind": row.kind,
                "subject": row.subject,
                "status": row.status,
                "details": row.details,
                "actor": actor.name,
                "surface": str(actor.surface),
            },
        )
    )
    bus.send("console", "console.changed", topic="accounts")
