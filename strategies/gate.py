"""The gate: whether an order may be sent right now, alone or beside others."""

from collections.abc import Sequence

from accounts.domain import risk
from controlplane.kernel.errors import Denied
from markets import selectors as markets
from strategies import freshness, selectors, services
from strategies.domain.intent import PENDING
from strategies.models import OrderIntent
from strategies.moment import Moment


def refusal(
    intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = (), lock: bool = True
) -> Denied | None:
    """Return why the intent may not be sent right now, or None.

    Orders `beside` it count as if they were sent. `lock` has the limits' rows locked until the
    transaction ends, as a claim needs them.
    """
    return (
        services.sandbox_problem(intent, moment)
        or selectors.pair_problem(intent)
        or risk.denial(
            services.order_terms(intent),
            markets.instrument_spec(intent.instrument),
            selectors.holding(intent, moment, beside=beside),
            selectors.circumstances(intent, moment, beside=beside, lock=lock),
        )
        or freshness.market_problem(intent, moment)
    )


def preview(
    drafts: Sequence[OrderIntent], moment: Moment
) -> list[tuple[OrderIntent, Denied | None]]:
    """Hold orders that belong together to the gate of a claim, before any of them is written.

    Each counts what stands before it as sent, so that together they keep every limit. Takes no
    lock and reserves nothing: the claim of each asks again.
    """
    moment.allocations_read(drafts)
    return [
        (draft, refusal(draft, moment, beside=drafts[:index], lock=False))
        for index, draft in enumerate(drafts)
    ]


def leg_problem(intent: OrderIntent, moment: Moment) -> Denied | None:
    """Return why the intent's other leg, not sent yet, would be denied after it; or None.

    The first of a pair is sent only when the second could be, beside it.
    """
    if intent.reduce_only or intent.hedge_pair_intent_id is None:
        return None
    other = selectors.intent_to_send(intent.hedge_pair_intent_id)
    if services.place_of(other) != PENDING:
        return None
    denied = refusal(other, moment, beside=(intent,), lock=False)
    if denied is None:
        return None
    text = f"OTHER_LEG_NOT_SENDABLE: {denied.message}"
    return Denied("OTHER_LEG_NOT_SENDABLE", text, leg=other.pk)
