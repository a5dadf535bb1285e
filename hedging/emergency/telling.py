"""What is told of emergency stops, and the timed report."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import F

from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from hedging.domain.emergency import StopScope
from hedging.models import EmergencyStop, StoppedAccount


def stop_report(stop: EmergencyStop) -> dict[str, Any]:
    """Return how far a stop has got: seconds from its engagement, by account; null is not yet."""
    # Not the accounts themselves: their keys would be decrypted.
    rows = stop.accounts.annotate(venue=F("account__exchange_id")).order_by("account_id")
    lines = [_line(stop, row) for row in rows]
    return {
        "stopId": str(stop.pk),
        "scope": stop.scope,
        "target": stop.target,
        "trigger": stop.trigger,
        "state": stop.state,
        "drill": stop.drill,
        "reason": stop.reason,
        "engagedAt": stop.created_at.isoformat(),
        "confirmed": all(line["confirmed"] for line in lines),
        "notConfirmed": [line["accountId"] for line in lines if not line["confirmed"]],
        "accounts": lines,
    }


def _line(stop: EmergencyStop, row: Any) -> dict[str, Any]:
    return {
        "accountId": row.account_id,
        "venue": row.venue,
        "book": row.book,
        "state": row.state,
        "confirmed": row.confirmed_at is not None,
        "blockedSeconds": _seconds(stop, row.blocked_at),
        "cancelledSeconds": _seconds(stop, row.cancelled_at),
        "flatSeconds": _seconds(stop, row.flat_at),
        "confirmedSeconds": _seconds(stop, row.confirmed_at),
        "deadlineSeconds": _seconds(stop, row.deadline_at),
        "residual": row.residual,
        "lastError": row.last_error,
    }


def _seconds(stop: EmergencyStop, moment: datetime | None) -> float | None:
    return None if moment is None else round((moment - stop.created_at).total_seconds(), 3)


def engaged(stop: EmergencyStop, *, actor: Actor) -> None:
    """Tell that everything in scope is stopped."""
    _tell(stop, f"STOP {stop} by {actor.name}: {stop.reason}", Severity.CRITICAL, "engaged")


def latched(stop: EmergencyStop) -> None:
    """Tell that every venue has confirmed; a drill leaves its timed report."""
    report = stop_report(stop)
    _tell(stop, f"STOP {stop}: every account is confirmed.", Severity.WARN, "latched", report)
    if stop.drill:
        events.publish(
            Occurrence(
                type=EventType.TEST_RESULT,
                message=f"Emergency stop drill {stop}: passed, {len(report['accounts'])} accounts.",
                payload={"code": "emergency-stop-drill", "passed": True, **report},
            )
        )


def overdue(stop: EmergencyStop, row: StoppedAccount) -> None:
    """Tell that an account's venue has not confirmed in time."""
    text = f"STOP {stop}: {row.account_id} is NOT confirmed within its deadline: {row.last_error}"
    _tell(stop, text, Severity.CRITICAL, "not-confirmed", account_id=row.account_id)
    if stop.drill:
        events.publish(
            Occurrence(
                type=EventType.TEST_RESULT,
                severity=Severity.WARN,
                account_id=row.account_id,
                message=f"Emergency stop drill {stop}: failed, {row.account_id} NOT confirmed.",
                payload={"code": "emergency-stop-drill", "passed": False, **stop_report(stop)},
            )
        )


def came_back(stop: EmergencyStop, row: StoppedAccount, what: str) -> None:
    """Tell that a confirmed account holds something again; it is closed once more."""
    text = f"STOP {stop}: {row.account_id} was confirmed and has {what} again; it is closed anew."
    more = {"what": what}
    _tell(stop, text, Severity.CRITICAL, "came-back", more, account_id=row.account_id)


def released(
    stop: EmergencyStop, rows: Sequence[StoppedAccount], *, actor: Actor, reason: str
) -> None:
    """Tell which accounts may trade again."""
    names = ", ".join(row.account_id for row in rows)
    text = f"STOP {stop} released by {actor.name} for {names or 'no account'}: {reason}"
    _tell(stop, text, Severity.WARN, "released")


def _tell(
    stop: EmergencyStop,
    text: str,
    severity: Severity,
    code: str,
    more: dict[str, Any] | None = None,
    *,
    account_id: str | None = None,
) -> None:
    is_account, is_module = (stop.scope == it for it in (StopScope.ACCOUNT, StopScope.MODULE))
    events.publish(
        Occurrence(
            type=EventType.EMERGENCY,
            severity=severity,
            account_id=account_id or (stop.target if is_account else None),
            module_id=stop.target if is_module else None,
            message=text[:2000],
            payload={
                "code": code,
                "stopId": str(stop.pk),
                "scope": stop.scope,
                "target": stop.target,
                "trigger": stop.trigger,
                "drill": stop.drill,
                **(more or {}),
            },
        )
    )
