"""Writes of an account's right to open exposure: owed a reconciliation, and reconciled."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from accounts.models import AccountState
from controlplane import bus
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence


@transaction.atomic
def recovery_begin(
    *, at: datetime, actor: Actor, reason: str, account_ids: Collection[str] | None = None
) -> int:
    """Let accounts (all when none is named) open nothing until reconciled anew; return how many.

    The one path of a first start, a restart and a reconnection.
    """
    states = AccountState.objects.filter(account__exchange__is_enabled=True)
    if account_ids is not None:
        states = states.filter(account__in=account_ids)
    disarmed = states.update(recovery_at=at)
    events.publish(
        Occurrence(
            type=EventType.SYSTEM,
            message=_("%(count)d accounts are being reconciled: %(reason)s")
            % {"count": disarmed, "reason": reason},
            payload={"code": "recovery", "actor": actor.name, "accounts": disarmed},
        )
    )
    return disarmed


def reconciled(*, account_id: str, at: datetime) -> bool:
    """Note a complete reconciliation begun at `at`; return whether it ended a recovery."""
    was_owed = Q(reconciled_at=None) | Q(reconciled_at__lt=F("recovery_at"))
    state = AccountState.objects.filter(account=account_id)
    ended = state.filter(was_owed).filter(Q(recovery_at=None) | Q(recovery_at__lte=at)).exists()
    state.filter(Q(reconciled_at=None) | Q(reconciled_at__lt=at)).update(reconciled_at=at)
    if ended:
        events.publish(
            Occurrence(
                type=EventType.ACCOUNT,
                account_id=account_id,
                message=_("%(account)s is reconciled and may trade.") % {"account": account_id},
                payload={"code": "reconciled"},
            )
        )
        bus.send("console", "console.changed", topic="accounts")
    return ended
