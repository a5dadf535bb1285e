"""What failing market data means for orders that rest: none stays where nothing is known."""

import logging
from collections.abc import Sequence
from uuid import UUID

from django.db.models import Exists, OuterRef

from accounts import egress
from controlplane.base.audit import Actor
from controlplane.kernel.errors import ControlPlaneError
from controlplane.kernel.secrets import redact
from markets.choices import FeedStatus
from markets.models import MarketDataFeed
from markets.venues.types import CancelOrder
from strategies import execution, selectors, services
from strategies.domain.intent import RESTING
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)


def resting_on_failing() -> Sequence[OrderIntent]:
    """Return the orders that rest at venues whose feed of their symbol is failing."""
    failing = MarketDataFeed.objects.enabled().filter(
        exchange_id=OuterRef("instrument__venue_id"),
        symbol=OuterRef("symbol"),
        status=FeedStatus.FAILING,
    )
    resting = OrderIntent.objects.filter(state=RESTING.state, submission=RESTING.submission)
    return list(resting.filter(Exists(failing)).order_by("pk"))


def intent_cancel(*, intent_id: UUID | str, actor: Actor) -> OrderIntent:
    """Ask the venue to cancel a resting order and apply what it answers.

    An answer that proves nothing leaves the intent as it is; one that the venue does not know is
    looked up, for it may just have been filled.
    """
    intent = selectors.intent_to_send(intent_id)
    if services.place_of(intent) != RESTING:
        return intent
    command = CancelOrder(intent.instrument.venue_symbol, intent.client_order_id)
    try:
        report = egress.run(execution.client_for(intent).cancel(command))
        return services.order_report_apply(intent=intent, report=report, actor=actor)
    except ControlPlaneError as error:
        logger.warning("Intent %s was not cancelled: %s", intent.pk, redact(error.message))
    return execution.unknown_resolve(intent=intent, actor=actor)
