"""What is told of an order."""

from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import plain
from strategies.models import OrderIntent


def occurrence_of(
    intent: OrderIntent,
    message: str,
    *,
    actor: Actor,
    event: str,
    severity: Severity = Severity.INFO,
) -> Occurrence:
    """Return what is to be told of an order as it stands now."""
    return Occurrence(
        type=EventType.ORDER,
        message=message,
        severity=severity,
        account_id=intent.account_id,
        module_id=intent.module_id,
        payload={
            "intentId": str(intent.pk),
            "clientOrderId": intent.client_order_id,
            "event": event,
            "state": str(intent.state),
            "submission": str(intent.submission),
            "symbol": intent.symbol,
            "side": str(intent.side),
            "amount": plain(intent.amount),
            "filledAmount": plain(intent.filled_amount),
            "sandbox": intent.sandbox,
            "reason": intent.reason,
            "actor": actor.name,
            "surface": str(actor.surface),
        },
    )
