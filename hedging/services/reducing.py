"""Accounts above their utilization band: both sides of their book are reduced alike."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.choices import AccountStatus
from accounts.models import AccountState
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import ZERO, plain
from hedging.candidates import candidates_of, carriers_of
from hedging.choices import TriggerReason
from hedging.domain.books import Book
from hedging.domain.delta import Exposure
from hedging.domain.planning import PlannedOrder
from hedging.domain.utilization import (
    AccountUse,
    Transfer,
    confirm,
    plan_reduction,
    propose_transfer,
)
from hedging.facts import BookFacts, book_facts, topology
from hedging.models import HedgeExecution
from hedging.plans import Drafter
from hedging.services import telling
from hedging.services.locking import book_lock
from hedging.services.throttling import pace_check, past_hedges
from hedging.services.writing import order_record, orders_write, still_stands
from strategies import gate
from strategies.models import OrderIntent
from strategies.moment import Moment

READABLE: Final = (str(AccountStatus.ACTIVE), str(AccountStatus.PAUSED))


class UtilizationWatch:
    """Remembers since which reading accounts are above their band, and what was proposed."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._proposed: set[str] = set()

    def look(self, *, actor: Actor) -> list[HedgeExecution]:
        """Reduce the books of accounts that two readings in a row found above their band."""
        uses = _uses_above()
        self._since, confirmed = confirm(self._since, uses)
        self._proposed &= self._since.keys()
        if not confirmed:
            return []
        started = []
        for book in topology():
            hot = sorted(confirmed.intersection(book.account_ids))
            if book.sandbox or not hot:
                continue
            self._propose(book, hot)
            started += book_reduce(book=book, hot=hot, actor=actor)
        for execution in started:
            for name in execution.decision_inputs["accountIds"]:
                self._since.pop(name, None)  # two new readings must say so again
        return started

    def _propose(self, book: Book, hot: Collection[str]) -> None:
        uses = uses_of(book.account_ids)
        for name in hot:
            if name in self._proposed or name not in uses:
                continue
            self._proposed.add(name)
            transfer = propose_transfer(uses[name], uses.values())
            if transfer is not None:
                _transfer_told(book, transfer)


@transaction.atomic
def book_reduce(*, book: Book, hot: Sequence[str], actor: Actor) -> list[HedgeExecution]:
    """Bring accounts of a book back into their bands; the net delta stays as it is.

    Nothing is done while anything about the asset is unknown or under way, before the margin has
    been read since the last such reduction, or when an order of either side would be denied.
    """
    book_lock(book.key)
    now = timezone.now()
    (facts,) = book_facts([book], now=now)
    state = facts.trading_state()
    if not (state.may_reduce and state.is_wanted) or state.is_throttled:
        return []
    uses = uses_of(book.account_ids)
    past = past_hedges(book.key, now=now)
    if not pace_check(book, past, facts.throttles, now=now):
        return []
    started, moment = [], Moment(now)
    for name in hot:
        if name in uses and uses[name].is_above and not _is_settling(book, uses[name]):
            started += _reduce(facts, uses[name], uses, moment, actor=actor)
    return started


def _reduce(
    facts: BookFacts,
    hot: AccountUse,
    uses: Mapping[str, AccountUse],
    moment: Moment,
    *,
    actor: Actor,
) -> list[HedgeExecution]:
    busy = HedgeExecution.objects.running().filter(book=facts.book.key)
    taken = set(busy.values_list("symbol", flat=True))
    held = {p.symbol for p in facts.positions if p.account_id == hot.account_id and p.size}
    started = []
    for seen in facts.exposures:
        if seen.symbol in held - taken and _is_calm(seen) and seen.reference is not None:
            carriers = carriers_of(facts, seen.symbol)
            candidates = candidates_of(facts, carriers, moment)
            planned = plan_reduction(hot, candidates, uses, reference=seen.reference)
            drafts = Drafter(facts, carriers).drafts(planned)
            execution = _begin(facts, seen, hot, planned, drafts, moment, actor=actor)
            if execution is not None:
                started.append(execution)
    return started


def _begin(
    facts: BookFacts,
    seen: Exposure,
    hot: AccountUse,
    planned: Sequence[PlannedOrder],
    drafts: Sequence[OrderIntent],
    moment: Moment,
    *,
    actor: Actor,
) -> HedgeExecution | None:
    if not drafts or any(denied for _draft, denied in gate.preview(drafts, moment)):
        return None
    if not still_stands(facts, seen.symbol, moment):
        return None
    others = [order.account_id for order in planned if order.account_id != hot.account_id]
    execution = HedgeExecution.objects.create(
        book=facts.book.key,
        symbol=seen.symbol,
        primary_account_id=hot.account_id,
        hedge_account_id=next(iter(others), hot.account_id),
        delta_before=round(seen.delta_btc or ZERO, 18),
        threshold=facts.book.delta_threshold,
        orders=[order_record(order) for order in planned],
        decision_inputs=_inputs(facts, seen, hot, actor=actor, now=moment.now),
        trigger_reason=TriggerReason.UTILIZATION,
        decision_mid=seen.reference,
    )
    orders_write(execution, drafts, moment, actor=actor)
    telling.begun_told(execution)
    return execution


def _is_calm(seen: Exposure) -> bool:
    """Tell whether the asset is known and nothing about it is under way."""
    bounds = {seen.low_base, seen.high_base, seen.worst_low_base, seen.worst_high_base}
    return bounds == {seen.delta_base} and seen.delta_btc is not None


def _is_settling(book: Book, use: AccountUse) -> bool:
    """Tell whether the margin was last read before the last reduction of the book had ended."""
    last = (
        HedgeExecution.objects.filter(book=book.key, trigger_reason=TriggerReason.UTILIZATION)
        .order_by("-execution_id")
        .values_list("finished_at", flat=True)
        .first()
    )
    return last is not None and use.read_at <= last


def uses_of(account_ids: Collection[str]) -> dict[str, AccountUse]:
    """Return the margin of accounts, as far as it was ever read."""
    rows = _rows().filter(account__in=account_ids)
    return {use.account_id: use for use in map(_use, rows)}


def _uses_above() -> list[AccountUse]:
    above = _rows().filter(
        equity__gt=0, initial_margin__gt=F("equity") * F("account__utilization_target_max")
    )
    return [_use(row) for row in above.filter(account__status__in=READABLE)]


def _rows() -> Any:
    return AccountState.objects.filter(balance_at__isnull=False).values_list(
        "account_id",
        "equity",
        "initial_margin",
        "account__utilization_target_min",
        "account__utilization_target_max",
        "balance_at",
        "settlement_asset",
    )


def _use(row: tuple[Any, ...]) -> AccountUse:
    return AccountUse(*row)


def _inputs(
    facts: BookFacts, seen: Exposure, hot: AccountUse, *, actor: Actor, now: datetime
) -> dict[str, Any]:
    def shown(number: Decimal | None) -> str | None:
        return None if number is None else plain(number)

    return {
        "reason": "UTILIZATION",
        "decidedAt": now.isoformat(),
        "breachAt": hot.read_at.isoformat(),
        "actor": actor.name,
        "surface": actor.surface.value,
        "accountIds": list(facts.book.account_ids),
        "reference": shown(seen.reference),
        "btcReference": shown(seen.btc_reference),
        "deltaBase": shown(seen.delta_base),
        "utilization": f"{hot.used or ZERO:.6f}",
        "utilizationAim": shown(hot.aim),
        "equity": shown(hot.equity),
        "initialMargin": shown(hot.initial_margin),
    }


def _transfer_told(book: Book, transfer: Transfer) -> None:
    events.publish(
        Occurrence(
            type=EventType.UTILIZATION_ALERT,
            severity=Severity.WARN,
            account_id=transfer.taker,
            message=_(
                "A transfer of %(amount)s %(asset)s from %(giver)s to %(taker)s would bring "
                "%(taker)s back into its band. A person must make it."
            )
            % {
                "amount": plain(transfer.amount),
                "asset": transfer.asset,
                "giver": transfer.giver,
                "taker": transfer.taker,
            },
            payload={
                "code": "transfer-proposed",
                "book": book.key,
                "from": transfer.giver,
                "to": transfer.taker,
                "amount": plain(transfer.amount),
                "asset": transfer.asset,
            },
        )
    )
