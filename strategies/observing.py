"""What venues say of orders and contracts, brought to the intents behind them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.observations import Observation, OrdersSeen
from controlplane.base import events
from controlplane.base.audit import Actor, Surface
from controlplane.base.jobs import enqueue
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import plain
from strategies import services
from strategies.jobs import ResolveIntent
from strategies.models import OrderIntent

ACTOR: Final = Actor(name="venue-reports", surface=Surface.FEED)
ORDERS_LISTED: Final = 50
SETTLED_AFTER: Final = timedelta(seconds=2)
"""A list of open orders may lag behind an acknowledgement by this much."""


def orders_seen(observation: Observation) -> None:
    """Apply reports of orders; ask for those that should be open and are not listed."""
    if not isinstance(observation, OrdersSeen):
        return
    services.orders_record(
        account_id=observation.account_id, reports=observation.orders, actor=ACTOR
    )
    if observation.all_open:
        for intent in _missing(observation, before=observation.at - SETTLED_AFTER):
            enqueue(ResolveIntent, intent_id=str(intent.pk))


def instruments_frozen(instrument_ids: Sequence[UUID]) -> None:
    """Publish which orders are open where an instrument was frozen: a person decides of them."""
    intents = (
        OrderIntent.objects.live()
        .in_flight()
        .filter(instrument__in=instrument_ids, claim_fence__gt=0)
        .select_related("instrument")
        .order_by("instrument_id", "intent_id")
    )
    listed: dict[str, list[OrderIntent]] = {}
    for intent in intents:
        listed.setdefault(str(intent.instrument), []).append(intent)
    for instrument, orders in listed.items():
        events.publish(
            Occurrence(
                type=EventType.ORDER,
                severity=Severity.CRITICAL,
                message=_("%(count)d orders are open on %(instrument)s, which is frozen.")
                % {"count": len(orders), "instrument": instrument},
                payload={
                    "code": "orders_on_frozen_instrument",
                    "instrument": instrument,
                    "openOrders": [_shown(intent) for intent in orders[:ORDERS_LISTED]],
                },
            )
        )


def _shown(intent: OrderIntent) -> dict[str, object]:
    return {
        "intentId": str(intent.pk),
        "accountId": intent.account_id,
        "clientOrderId": intent.client_order_id,
        "venueOrderId": intent.venue_order_id,
        "side": intent.side,
        "amount": plain(intent.amount),
        "filled": plain(intent.filled_amount),
        "reduceOnly": intent.reduce_only,
    }


def _missing(observation: OrdersSeen, *, before: datetime) -> list[OrderIntent]:
    listed = [report.client_order_id for report in observation.orders]
    return list(
        OrderIntent.objects.live()
        .filter(
            account_id=observation.account_id,
            state="submitted",
            submission="acknowledged",
            acknowledged_at__lt=before,
        )
        .exclude(client_order_id__in=listed)
    )
