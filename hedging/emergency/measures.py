"""What stop rules measure, read for all accounts at once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Max

from accounts.models import AccountState, ExchangeAccount, Position
from controlplane.kernel.ids import uuid7_floor, uuid7_time
from controlplane.kernel.units import LIMIT
from hedging.domain.reconciliation import BreakKind
from hedging.domain.rules import DUE_WITHIN, RuleTrigger, margin_ratio, silence
from hedging.models import ReconciliationBreak, StopRule
from markets.models import Quote
from markets.selectors import reference_prices
from strategies.domain.intent import Submission
from strategies.models import OrderIntent

VALID: Final = timedelta(minutes=2)
"""A balance read longer ago says nothing of now."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rule's trigger measures of an account, as of `at`; see RuleTrigger for units."""

    account: ExchangeAccount
    value: Decimal
    at: datetime


class Measures:
    """One look: accounts and their states are read once, whatever the number of rules.

    `since` is when somebody began to look. What is from before a person last let an account
    trade again is not measured.
    """

    def __init__(self, *, since: datetime, now: datetime) -> None:
        self._since, self._now = since, now
        states = AccountState.objects.select_related("account").order_by("pk")
        self._states = {state.pk: state for state in states.defer(*_SECRETS)}

    def of(self, rule: StopRule) -> Iterator[Measured]:
        """Yield what the rule watches, for every account it is known of."""
        ways: Mapping[RuleTrigger, Callable[[StopRule], Iterator[Measured]]] = {
            RuleTrigger.MARGIN: self._margins,
            RuleTrigger.REJECTS: self._rejects,
            RuleTrigger.MISMATCH: self._mismatches,
            RuleTrigger.STALE_DATA: self._silences,
        }
        for measured in ways[RuleTrigger(rule.trigger)](rule):
            if rule.account_id in (None, measured.account.pk):
                yield measured

    def _counts(self, state: AccountState, at: datetime) -> bool:
        return state.rearmed_at is None or at > state.rearmed_at

    def _margins(self, _rule: StopRule) -> Iterator[Measured]:
        for state in self._states.values():
            at, maintenance, equity = state.balance_at, state.maintenance_margin, state.equity
            if at is None or maintenance is None or equity is None or at < self._now - VALID:
                continue
            if self._counts(state, at):
                ratio = margin_ratio(maintenance=maintenance, equity=equity)
                yield Measured(state.account, ratio, at)

    def _rejects(self, rule: StopRule) -> Iterator[Measured]:
        """Orders of the window that the venue refused, by when they were wished for."""
        since = self._now - timedelta(seconds=rule.window_seconds)
        refused = OrderIntent.objects.live().filter(
            intent_id__gte=uuid7_floor(since), state="failed", submission=Submission.ACKNOWLEDGED
        )
        counts: dict[str, int] = defaultdict(int)
        for account_id, intent_id in refused.order_by().values_list("account_id", "pk"):
            state = self._states.get(account_id)
            counts[account_id] += state is not None and self._counts(state, uuid7_time(intent_id))
        for account_id, count in counts.items():
            if count:
                yield Measured(self._states[account_id].account, Decimal(count), self._now)

    def _mismatches(self, _rule: StopRule) -> Iterator[Measured]:
        """The worth of what is in dispute; of what has no price it is beyond every threshold."""
        open_ = ReconciliationBreak.objects.open().filter(kind=str(BreakKind.POSITION_MISMATCH))
        seen = dict(open_.order_by().values_list("account_id").annotate(at=Max("seen_at")))
        disputed = Position.objects.live().filter(account__in=seen, disputed_at__isnull=False)
        rows = list(disputed.select_related("instrument"))
        prices = reference_prices({row.instrument.symbol for row in rows}, now=self._now)
        worst: dict[str, Decimal] = {}
        for row in rows:
            mark = row.mark_price or prices.get(row.instrument.symbol)
            worth = LIMIT if mark is None else abs(row.unexplained) * mark
            worst[row.account_id] = max(worst.get(row.account_id, worth), worth)
        for account_id, worth in worst.items():
            state = self._states.get(account_id)
            if state is not None and self._counts(state, seen[account_id]):
                yield Measured(state.account, worth, seen[account_id])

    def _silences(self, _rule: StopRule) -> Iterator[Measured]:
        at_stake = self._at_stake()
        heard = self._prices_heard({symbol for symbols in at_stake.values() for symbol in symbols})
        for account_id, symbols in at_stake.items():
            if (state := self._states.get(account_id)) is None:
                continue
            since = max(self._since, state.rearmed_at or self._since)
            interval = timedelta(seconds=state.account.sync_interval_seconds)
            silences = [
                silence(
                    heard=(state.positions_at, state.stream_at),
                    since=since,
                    due=DUE_WITHIN * interval,
                    now=self._now,
                )
            ]
            silences += [
                silence(heard=(heard[symbol],), since=since, due=timedelta(), now=self._now)
                for symbol in symbols
                if symbol in heard
            ]
            yield Measured(state.account, max(silences), self._now)

    def _at_stake(self) -> Mapping[str, set[str]]:
        """Return, by account, the symbols it holds or has orders in."""
        found: dict[str, set[str]] = defaultdict(set)
        held = Position.objects.live().held().order_by()
        sent = OrderIntent.objects.live().in_flight().order_by()
        for rows in (held.values_list("account_id", "instrument__symbol"),
                     sent.values_list("account_id", "symbol")):  # fmt: skip
            for account_id, symbol in rows.distinct():
                found[account_id].add(symbol)
        return found

    def _prices_heard(self, symbols: set[str]) -> Mapping[str, datetime]:
        """Return when any feed of a symbol last brought a price; one without feeds is absent."""
        quotes = Quote.objects.of_enabled_feeds(symbols).order_by()
        return dict(quotes.values_list("feed__symbol").annotate(at=Max("received_at")))


_SECRETS: Final = tuple(f"account__{name}" for name in ExchangeAccount.secret_fields)
