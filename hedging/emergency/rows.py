"""How an emergency stop's rows move: each along the table, by compare-and-set."""

from django.db import transaction
from django.utils import timezone

from controlplane import bus
from controlplane.kernel.errors import Conflict
from hedging.domain.emergency import StopEvent, StopState, advance, overall, path
from hedging.models import EmergencyStop, StoppedAccount


def row_move(row: StoppedAccount, event: StopEvent, **changes: object) -> None:
    """Move one account of a stop along the table; raises Conflict when another process has."""
    old = StopState(row.state)
    values = {"state": advance(old, event), **changes}
    if StoppedAccount.objects.filter(pk=row.pk, state=old).update(**values) != 1:
        raise Conflict(f"{row.account_id} is no longer {old}.")
    for name, value in values.items():
        setattr(row, name, value)


@transaction.atomic
def stop_follow(stop: EmergencyStop) -> bool:
    """Bring a stop to where its least advanced account is; return whether it has just latched."""
    stop = EmergencyStop.objects.select_for_update(of=("self",)).get(pk=stop.pk)
    old = StopState(stop.state)
    states = [StopState(state) for state in stop.accounts.values_list("state", flat=True)]
    new = overall(state for state in states if state is not StopState.RELEASED)
    if old is StopState.RELEASED or new is old:
        return False
    for state in path(old, new):
        EmergencyStop.objects.filter(pk=stop.pk).update(state=state)
    if new is StopState.LATCHED:
        EmergencyStop.objects.filter(pk=stop.pk).update(latched_at=timezone.now())
    bus.send("console", "console.changed", topic="accounts")
    return new is StopState.LATCHED
