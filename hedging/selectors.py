"""Reads of hedging: books as people see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controlplane.kernel.units import ZERO, BaseAmount, BtcEquivalent
from hedging.domain.books import Book
from hedging.domain.decision import Decision, Reason, Verdict
from hedging.domain.planning import Plan
from hedging.facts import BookFacts, book_facts, topology
from hedging.models import HedgeDust, HedgeExecution
from hedging.plans import plan_checked
from strategies.moment import Moment


class BookState(StrEnum):
    """`unknown`: a position or a price is missing, so nothing may be done."""

    NEUTRAL = "neutral"
    BREACH = "breach"
    HEDGING = "hedging"
    UNKNOWN = "unknown"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class AssetDelta:
    """A book's net position in one asset, long positive; None where it is not known."""

    symbol: str
    delta_base: BaseAmount | None
    delta_btc: BtcEquivalent | None


@dataclass(frozen=True, slots=True)
class BookView:
    """A book as shown. `net_delta_btc` is the asset delta farthest from zero, signed."""

    key: str
    sandbox: bool
    account_ids: tuple[str, ...]
    module_ids: tuple[str, ...]
    threshold_btc: BtcEquivalent
    net_delta_btc: BtcEquivalent | None
    assets: tuple[AssetDelta, ...]
    state: BookState
    reason: str


def books(*, now: datetime) -> Sequence[BookView]:
    """Return every book."""
    return _views(topology(), now=now)


def book(key: str, *, now: datetime) -> BookView | None:
    """Return one book, or None when no accounts make it any more."""
    found = find_book(key)
    return None if found is None else _views([found], now=now)[0]


def find_book(key: str) -> Book | None:
    """Return the accounts and threshold behind a key, or None when there is no such book."""
    return next((item for item in topology() if item.key == key), None)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done about one asset of a book now; `plan` only when something would."""

    decision: Decision
    plan: Plan | None


def proposals(key: str, *, now: datetime) -> tuple[Proposal, ...]:
    """Return what a person who asks now would get: each asset's decision and its plan.

    Raises KeyError when there is no such book.
    """
    found = find_book(key)
    if found is None:
        raise KeyError(key)
    (facts,) = book_facts([found], now=now)
    moment = Moment(now)
    return tuple(
        Proposal(
            decision,
            plan_checked(facts, decision, moment).plan if decision.is_trading else None,
        )
        for decision in facts.decisions(now=now, by_hand=True)
    )


def _views(found: Sequence[Book], *, now: datetime) -> list[BookView]:
    running = set(HedgeExecution.objects.running().values_list("book", flat=True))
    dust = set(HedgeDust.objects.open().values_list("book", "symbol"))
    return [_view(facts, running, dust, now=now) for facts in book_facts(found, now=now)]


def _view(
    facts: BookFacts,
    running: Collection[str],
    dust: Collection[tuple[str, str]],
    *,
    now: datetime,
) -> BookView:
    decisions = [
        replace(decision, reason=Reason.DUST)
        if decision.is_trading and (facts.book.key, decision.exposure.symbol) in dust
        else decision
        for decision in facts.decisions(now=now)
    ]
    assets = tuple(_asset(decision) for decision in decisions)
    deltas = [asset.delta_btc for asset in assets]
    known = [delta for delta in deltas if delta is not None]
    state, reason = _state(facts, decisions, is_hedging=facts.book.key in running)
    return BookView(
        key=facts.book.key,
        sandbox=facts.book.sandbox,
        account_ids=facts.book.account_ids,
        module_ids=facts.book.module_ids,
        threshold_btc=BtcEquivalent(facts.book.delta_threshold),
        net_delta_btc=(
            None if state is BookState.UNKNOWN else max(known, key=abs, default=_NOTHING)
        ),
        assets=assets,
        state=state,
        reason=reason,
    )


_NOTHING = BtcEquivalent(ZERO)


def _asset(decision: Decision) -> AssetDelta:
    seen = decision.exposure
    return AssetDelta(seen.symbol, None if seen.unknown else seen.delta_base, seen.delta_btc)


def _state(
    facts: BookFacts, decisions: Sequence[Decision], *, is_hedging: bool
) -> tuple[BookState, str]:
    """Return the worst that is true of the book, and why."""
    if not facts.book.sandbox and not all(account.is_known for account in facts.accounts):
        return BookState.UNKNOWN, Reason.ACCOUNT_UNKNOWN.value
    reasons = {decision.reason for decision in decisions}
    if any(decision.exposure.delta_btc is None for decision in decisions):
        return BookState.UNKNOWN, Reason.QUOTE_STALE.value
    if any(decision.verdict is Verdict.HALT for decision in decisions):
        halted = Reason.THROTTLED if Reason.THROTTLED in reasons else Reason.STOPPED
        return BookState.HALTED, halted.value
    if is_hedging:
        return BookState.HEDGING, Reason.IN_FLIGHT.value
    for reason in (
        Reason.BREACH,
        Reason.UNALLOCATED,
        Reason.QUOTE_STALE,
        Reason.OUTCOME_UNKNOWN,
        Reason.IN_FLIGHT,
        Reason.DUST,
    ):
        if reason in reasons:
            return BookState.BREACH, reason.value
    return BookState.NEUTRAL, Reason.WITHIN_THRESHOLD.value
