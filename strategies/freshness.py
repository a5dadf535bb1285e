"""Whether a market is known well enough to trade on: asked again in the claim itself."""

from accounts.choices import AccountStatus
from controlplane.kernel.errors import Denied
from markets import selectors as markets
from markets.choices import FeedStatus
from strategies.choices import ModuleStatus
from strategies.models import OrderIntent
from strategies.moment import Moment


def market_problem(intent: OrderIntent, moment: Moment) -> Denied | None:
    """Return why the intent's own market may not be traded on as we know it now, or None.

    What adds to a position needs a fresh price of the very venue and a feed that is healthy. What
    only reduces needs a price, its own or a synthetic one, unless it names none: a market order
    that shrinks a position always goes. So does any of an account in emergency or of a disabled
    module: an emergency stop takes its limits from the venue's own mark, read with the position.
    """
    is_stopped = (
        intent.account.status == AccountStatus.EMERGENCY
        or intent.module.status == ModuleStatus.DISABLE
    )
    if intent.reduce_only and (intent.price is None or is_stopped):
        return None
    standing = moment.market(intent.instrument)
    if standing.top is None and not (intent.reduce_only and standing.stand_in is not None):
        return _denied("VENUE_PRICE_STALE", intent, standing)
    if not intent.reduce_only and standing.status is not FeedStatus.HEALTHY:
        return _denied("VENUE_FEED_NOT_HEALTHY", intent, standing)
    return None


def _denied(code: str, intent: OrderIntent, standing: markets.MarketStanding) -> Denied:
    status = standing.status.value if standing.status else "none"
    venue_id = intent.instrument.venue_id
    return Denied(
        code, f"{code}: venue={venue_id}, feed={status}", venue=venue_id, feedStatus=status
    )
