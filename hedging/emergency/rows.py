"""How an emergency stop's rows move: each along the table, by compare-and-set."""

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from controlplane import bus
from controlplane.base.rows import rows_set
from controlplane.kernel.errors import Conflict
from hedging.domain.emergency import StopEvent, StopState, advance, overall, path
from hedging.models import EmergencyStop, StoppedAccount


def row_move(row: StoppedAccount, event: StopEvent, **changes: object) -> None:
    """Move one account of a stop along the table; raises Conflict when another process has."""
    rows_write([(row, moved(row, event, **changes))])


def moved(row: StoppedAccount, event: StopEvent, **changes: object) -> dict[str, object]:
    """Return the columns that change with a move along the table."""
    return {"state": advance(StopState(row.state), event), **changes}


def rows_write(changes: Sequence[tuple[StoppedAccount, Mapping[str, object]]]) -> None:
    """Write columns of accounts of a stop, all moves or none in the caller's transaction.

    Raises Conflict for a move of an account that another process has moved; what is only noted
    of such a one is not written.
    """
    written = rows_set(changes, standing=["state"])
    for row, values in changes:
        if "state" in values and row.pk not in written:
            raise Conflict(f"{row.account_id} was moved by another process.")


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
