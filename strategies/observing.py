"""What venues say of orders, brought to the intents behind them."""

from datetime import datetime, timedelta
from typing import Final

from accounts.observations import Observation, OrdersSeen
from controlplane.base.audit import Actor, Surface
from controlplane.base.jobs import enqueue
from strategies import services
from strategies.jobs import ResolveIntent
from strategies.models import OrderIntent

ACTOR: Final = Actor(name="venue-reports", surface=Surface.FEED)
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
