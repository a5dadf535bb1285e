"""A plan whose every order has passed the gate before the first of them is written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from accounts.domain.headroom import Headroom
from controlplane.base.prepared import prepared
from controlplane.kernel.errors import Denied
from controlplane.kernel.units import ZERO, QuoteAmount
from hedging.candidates import Carriers, candidates_of, carriers_of
from hedging.domain.decision import Decision
from hedging.domain.planning import Candidate, Plan, PlannedOrder, plan_hedge
from hedging.facts import BookFacts
from markets.venues.types import OrderType
from strategies import gate
from strategies import services as strategies
from strategies.models import SYSTEM_HEDGE, OrderIntent, StrategyModule
from strategies.moment import Moment

BELOW_A_LIMIT: Final = Decimal("0.999")
"""How near to a limit an order is sized that the gate found too large: prices move meanwhile."""


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """A plan and its orders as intents that are not written yet, in the same order."""

    plan: Plan
    drafts: tuple[OrderIntent, ...]
    candidates: Sequence[Candidate]


def plan_checked(
    facts: BookFacts, decision: Decision, moment: Moment, *, is_resting: bool = False
) -> CheckedPlan:
    """Plan the decided trade, and plan again without what the gate denies until it denies nothing.

    All orders are asked about together, each counting those before it as sent. One that is only
    too large for a limit is made smaller once. Reads only. `is_resting`: orders wait on their own
    side, where it has a price.
    """
    carriers = carriers_of(facts, decision.exposure.symbol)
    candidates = candidates_of(facts, carriers, moment)
    drafter = Drafter(facts, carriers, is_resting=is_resting)
    shrunk: set[_Place] = set()
    # Each round rules out at least one contract for one purpose, or shrinks it for the only time.
    for _round in range(3 * len(candidates) + 1):
        plan = plan_hedge(decision, candidates)
        drafts = drafter.drafts(plan.orders)
        denials = {
            _place(order): (order, denied)
            for order, (_draft, denied) in zip(
                plan.orders, gate.preview(drafts, moment), strict=True
            )
            if denied is not None
        }
        if not denials:
            return CheckedPlan(plan, tuple(drafts), candidates)
        candidates = [_changed(item, denials, decision, shrunk) for item in candidates]
        shrunk.update(denials)
    raise AssertionError("a plan is denied at most three times for each contract")


_Place = tuple[str, UUID]


def _place(item: Candidate | PlannedOrder) -> _Place:
    return item.account_id, item.instrument_id


def _changed(
    candidate: Candidate,
    denials: Mapping[_Place, tuple[PlannedOrder, Denied]],
    decision: Decision,
    shrunk: Collection[_Place],
) -> Candidate:
    """Return the candidate as the next plan may use it."""
    if _place(candidate) not in denials:
        return candidate
    order, denied = denials[_place(candidate)]
    if order.reduce_only:
        return replace(candidate, cannot_reduce=denied.code)
    smaller = _allowed(order, denied, decision)
    if _place(candidate) in shrunk or smaller <= 0:
        return replace(candidate, cannot_increase=denied.code)
    return replace(candidate, headroom=Headroom(QuoteAmount(smaller), denied.code))


def _allowed(order: PlannedOrder, denied: Denied, decision: Decision) -> Decimal:
    """Return the USD value of the order that the limit leaves room for; zero when none."""
    value, maximum = denied.details.get("value"), denied.details.get("maximum")
    reference = decision.exposure.reference
    if value is None or maximum is None or reference is None:
        return ZERO
    too_much = Decimal(value) - Decimal(maximum)
    return max(ZERO, (order.amount * reference - too_much) * BELOW_A_LIMIT)


class Drafter:
    """Makes planned orders of one book into intents that are not written."""

    def __init__(self, facts: BookFacts, carriers: Carriers, *, is_resting: bool = False) -> None:
        self._facts, self._is_resting = facts, is_resting
        self._carriers = carriers
        self._module = _module(facts)

    def drafts(self, orders: Sequence[PlannedOrder]) -> list[OrderIntent]:
        """Return an intent for each order, in their order."""
        return [self._draft(order) for order in orders]

    def _draft(self, order: PlannedOrder) -> OrderIntent:
        passive = order.passive if self._is_resting else None
        return strategies.intent_draft(
            module=self._module,
            account=self._carriers.accounts[order.account_id],
            instrument=self._carriers.instruments[order.instrument_id],
            side=order.side,
            type=OrderType.IOC if passive is None else OrderType.POST_ONLY,
            amount=order.amount,
            price=order.price if passive is None else passive,
            reduce_only=order.reduce_only,
            sandbox=self._facts.book.sandbox,
        )


def _module(facts: BookFacts) -> StrategyModule:
    """Return the book's hedge-only module, or the built-in one when it has none."""
    modules: list[StrategyModule] = _modules(module_ids=list(facts.book.module_ids))
    return next((it for it in modules if it.pk != SYSTEM_HEDGE), modules[0])


@prepared
def _modules(module_ids: Any) -> Any:
    own = Q(status="enable", pk__any=module_ids, type="hedge-only")
    return StrategyModule.objects.filter(own | Q(pk=SYSTEM_HEDGE)).order_by("pk")
