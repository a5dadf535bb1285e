"""What hedging does when something is seen at a venue: record trades, end hedges, look again."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from accounts.models import ExchangeAccount
from accounts.observations import (
    AccountMoved,
    AccountRead,
    FillsSeen,
    Followup,
    Observation,
    OrdersSeen,
)
from controlplane.base.audit import Actor, Surface
from hedging import trigger
from hedging.models import Fill
from hedging.services import (
    account_reconcile,
    executions_finish,
    fills_attach,
    fills_tell,
    fills_write,
)

logger = logging.getLogger(__name__)

ACTOR: Final = Actor(name="venue-reports", surface=Surface.FEED)


def observed(observation: Observation) -> Followup | None:
    """Act on an observation; subscribed after those who keep intents in line with orders.

    Raises only for trades that could not be recorded: whoever saw them must ask for them again.
    Of everything else the next sync tells anew.
    """
    if isinstance(observation, FillsSeen):
        added = fills_write(
            account_id=observation.account_id,
            reports=observation.fills,
            sandbox=observation.sandbox,
            actor=ACTOR,
        )
        return partial(_traded, observation.account_id, added)
    try:
        match observation:
            case OrdersSeen():
                fills_attach(account_id=observation.account_id, actor=ACTOR)
                executions_finish(account_id=observation.account_id)
            case AccountRead():
                account_reconcile(
                    account=ExchangeAccount.objects.for_sync().get(pk=observation.account_id),
                    reading=observation.reading,
                    has_recorded_fills=observation.has_told_fills,
                    actor=ACTOR,
                )
            case AccountMoved():
                trigger.account_moved(observation)
    except Exception:
        logger.exception("What was seen of %s could not be recorded.", observation.account_id)
    return None


def _traded(account_id: str, added: Sequence[Fill]) -> None:
    """Tell of new trades and end the hedges they complete: neither is waited for."""
    try:
        fills_tell(account_id=account_id, fills=added)
        executions_finish(account_id=account_id)
    except Exception:
        logger.exception("The trades of %s could not be told of.", account_id)
