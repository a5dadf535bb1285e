"""What hedging does when something is seen at a venue: record trades, end hedges, look again."""

import logging
from typing import Final

from accounts.models import ExchangeAccount
from accounts.observations import (
    AccountMoved,
    AccountRead,
    FillsSeen,
    Observation,
    OrdersSeen,
)
from controlplane.base.audit import Actor, Surface
from hedging import trigger
from hedging.services import account_reconcile, executions_finish, fills_attach, fills_record

logger = logging.getLogger(__name__)

ACTOR: Final = Actor(name="venue-reports", surface=Surface.FEED)


def observed(observation: Observation) -> None:
    """Act on an observation; subscribed after those who keep intents in line with orders.

    Raises nothing: whoever saw something goes on, and the next sync tells it again.
    """
    try:
        match observation:
            case FillsSeen():
                fills_record(
                    account_id=observation.account_id,
                    reports=observation.fills,
                    sandbox=observation.sandbox,
                    actor=ACTOR,
                )
                executions_finish(account_id=observation.account_id)
            case OrdersSeen():
                fills_attach(account_id=observation.account_id, actor=ACTOR)
                executions_finish(account_id=observation.account_id)
            case AccountRead():
                account_reconcile(
                    account=ExchangeAccount.objects.for_sync().get(pk=observation.account_id),
                    reading=observation.reading,
                    actor=ACTOR,
                )
            case AccountMoved():
                trigger.account_moved(observation)
    except Exception:
        logger.exception("What was seen of %s could not be recorded.", observation.account_id)
