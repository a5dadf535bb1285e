"""What is known of books right now, read in a few queries however many books there are."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q
from django.db.models.functions import Coalesce

from accounts.choices import AccountStatus
from accounts.models import ExchangeAccount, Position
from controlplane.base.prepared import prepared
from controlplane.kernel.ids import uuid7_floor
from controlplane.kernel.units import ZERO, BaseAmount, BtcEquivalent
from hedging.domain.books import Book, BookMember, Link, build_books
from hedging.domain.decision import Decision, HedgeTerms, TradingState, decide
from hedging.domain.delta import BTC, Exposure, Holding, InFlight, is_known, net_exposures
from hedging.domain.throttle import NO_THROTTLES, Throttles
from hedging.models import Fill, HedgeThrottle
from markets.selectors import reference_prices
from markets.venues.types import OrderType, Side
from strategies.domain.intent import TERMINAL_STATES, IntentState, Submission
from strategies.models import AccountAllocation, OrderIntent

SETTLING: Final = timedelta(minutes=10)
"""How long fills of an ended order are compared with the position they must appear in."""
_RESTING_TYPES: Final = (OrderType.LIMIT, OrderType.POST_ONLY)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An account as hedging needs it; `positions_at` is its last complete look."""

    account_id: str
    venue_id: str
    status: AccountStatus
    is_venue_enabled: bool
    positions_at: datetime | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class PositionFacts:
    account_id: str
    instrument_id: UUID
    symbol: str
    size: BaseAmount
    observed_at: datetime
    venue_at: datetime | None
    mark: Decimal | None
    is_disputed: bool = False
    """Trades do not explain it."""


@dataclass(frozen=True, slots=True)
class IntentFacts:
    """An intent that may still move a position we know, and on which instrument."""

    intent_id: UUID
    instrument_id: UUID
    flight: InFlight


@dataclass(frozen=True, slots=True)
class BookFacts:
    """All that decisions about one book are made from."""

    book: Book
    accounts: Sequence[AccountFacts]
    positions: Sequence[PositionFacts]
    intents: Sequence[IntentFacts]
    exposures: tuple[Exposure, ...]
    throttles: Throttles = NO_THROTTLES
    references: Mapping[str, Decimal] = field(default_factory=dict)
    """Of all that the accounts read with this book hold or have on its way."""

    def standing(self, symbol: str) -> tuple[frozenset[object], ...]:
        """Return what the exposure to an asset rests on, prices left out."""
        return (
            frozenset(
                (p.account_id, p.instrument_id, p.size)
                for p in self.positions
                if p.symbol == symbol
            ),
            frozenset((i.intent_id, i.flight) for i in self.intents if i.flight.symbol == symbol),
            frozenset(a.account_id for a in self.accounts if not a.is_known),
        )

    def trading_state(
        self, *, retry_at: datetime | None = None, by_hand: bool = False
    ) -> TradingState:
        """Return what the book may do.

        An emergency anywhere in it leaves only reducing; with no active account it is only
        watched, and so is a book that no module was given, unless a person asks.
        """
        statuses = {account.status for account in self.accounts if account.is_venue_enabled}
        return TradingState(
            may_increase=AccountStatus.ACTIVE in statuses
            and AccountStatus.EMERGENCY not in statuses,
            may_reduce=AccountStatus.ACTIVE in statuses,
            retry_at=retry_at,
            is_wanted=by_hand or self.book.sandbox or bool(self.book.module_ids),
            is_throttled=self.throttles.hold(self.book),
        )

    def decisions(
        self,
        *,
        now: datetime,
        retry_at: Mapping[str, datetime] | None = None,
        by_hand: bool = False,
    ) -> tuple[Decision, ...]:
        """Decide on every asset of the book; `by_hand` when a person asks for it."""
        terms = HedgeTerms(BtcEquivalent(self.book.delta_threshold))
        waits = retry_at or {}
        return tuple(
            decide(
                seen,
                terms,
                self.trading_state(retry_at=waits.get(seen.symbol), by_hand=by_hand),
                now=now,
            )
            for seen in self.exposures
        )


def topology() -> tuple[Book, ...]:
    """Return all books as allocations make them."""
    return build_books(
        [BookMember(*row) for row in _members()],
        # A dry-run module's orders are simulated, whatever its allocation says.
        [Link(module, account, any(simulated)) for module, account, *simulated in _links()],
        sandbox_holders=_sandbox_holders(),
    )


@prepared
def _members() -> Any:
    return ExchangeAccount.objects.values_list(
        "account_id", Coalesce("risk_envelope__delta_threshold", "delta_threshold")
    )


@prepared
def _links() -> Any:
    return AccountAllocation.objects.filter(module__status="enable").values_list(
        "module_id",
        "account_id",
        "sandbox_mode",
        "module__dry_run_enabled",
        "module__requires_sandbox",
    )


@prepared
def _sandbox_holders() -> Any:
    held = Position.objects.filter(sandbox=True).held()
    return held.values_list("account_id", flat=True).distinct()


def book_facts(books: Sequence[Book], *, now: datetime) -> list[BookFacts]:
    """Return the facts of `books`, in their order."""
    reading = _Reading({name for book in books for name in book.account_ids}, now)
    return [reading.of(book) for book in books]


@dataclass(slots=True)
class _Reading:
    """One look at the database for a set of accounts; rows are keyed by (account, sandbox)."""

    account_ids: Collection[str]
    now: datetime
    accounts: dict[str, AccountFacts] = field(init=False)
    positions: dict[tuple[str, bool], list[PositionFacts]] = field(init=False)
    intents: dict[tuple[str, bool], list[IntentFacts]] = field(init=False)
    references: dict[str, Decimal] = field(init=False)
    throttles: Throttles = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = {facts.account_id: facts for facts in _accounts(self.account_ids, self.now)}
        self.positions = defaultdict(list)
        for row in _positions(account_ids=list(self.account_ids)):
            account_id, instrument_id, symbol, size, seen_at, venue_at, mark, disputed, sandbox = (
                row
            )
            self.positions[account_id, sandbox].append(
                PositionFacts(
                    account_id,
                    instrument_id,
                    symbol,
                    BaseAmount(size),
                    seen_at,
                    venue_at,
                    mark,
                    is_disputed=disputed is not None,
                )
            )
        self.intents = self._intents()
        self.throttles = _throttles()
        symbols = {item.symbol for rows in self.positions.values() for item in rows if item.size}
        symbols |= {item.flight.symbol for rows in self.intents.values() for item in rows}
        self.references = reference_prices(symbols | {BTC}, now=self.now) if symbols else {}

    def of(self, book: Book) -> BookFacts:
        accounts = [self.accounts[name] for name in book.account_ids if name in self.accounts]
        positions = [p for name in book.account_ids for p in self.positions[name, book.sandbox]]
        intents = [i for name in book.account_ids for i in self.intents[name, book.sandbox]]
        # Simulated positions are our own record: always known.
        unknown = () if book.sandbox else [a.account_id for a in accounts if not a.is_known]
        return BookFacts(
            book=book,
            accounts=accounts,
            positions=positions,
            intents=intents,
            exposures=net_exposures(
                [Holding(p.account_id, p.symbol, p.size) for p in positions],
                [item.flight for item in intents],
                self.references,
                unknown=unknown,
            ),
            throttles=self.throttles,
            references=self.references,
        )

    def _intents(self) -> dict[tuple[str, bool], list[IntentFacts]]:
        recent = uuid7_floor(self.now - SETTLING)
        rows = _moving(account_ids=list(self.account_ids), recent=recent)
        settled = self._settled([row for row in rows if row["filled_amount"] > 0])
        found: dict[tuple[str, bool], list[IntentFacts]] = defaultdict(list)
        for row in rows:
            flight = _flight(row, settled.get(row["intent_id"], ZERO), now=self.now)
            if flight.open_base > 0:
                found[row["account_id"], row["sandbox"]].append(
                    IntentFacts(row["intent_id"], row["instrument_id"], flight)
                )
        return found

    def _settled(self, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, Decimal]:
        """Return, by intent, how much of what was filled the positions we know contain."""
        by_id = {row["intent_id"]: row for row in rows}
        if not by_id:
            return {}
        held = {
            (item.account_id, item.instrument_id, sandbox): item
            for (_, sandbox), items in self.positions.items()
            for item in items
        }
        settled: dict[UUID, Decimal] = defaultdict(lambda: ZERO)
        for row in rows:
            position = held.get((row["account_id"], row["instrument_id"], row["sandbox"]))
            # A simulated position is made from its intents: it has what they had when written.
            if row["sandbox"] and position and row["updated_at"] <= position.observed_at:
                settled[row["intent_id"]] = row["filled_amount"]
        for intent_id, amount, venue_at, recorded_at in _fills(intent_ids=list(by_id)):
            row = by_id[intent_id]
            position = held.get((row["account_id"], row["instrument_id"], row["sandbox"]))
            look = self.accounts[row["account_id"]].positions_at
            if _contains(position, look, venue_at=venue_at, recorded_at=recorded_at):
                settled[intent_id] += amount
        return settled


@prepared
def _positions(account_ids: Any) -> Any:
    return Position.objects.filter(account_id__any=account_ids).values_list(
        "account_id",
        "instrument_id",
        "instrument__symbol",
        "size",
        "observed_at",
        "venue_at",
        "mark_price",
        "disputed_at",
        "sandbox",
    )


@prepared
def _moving(account_ids: Any, recent: Any) -> Any:
    """Intents that may still trade, and what traded since `recent`."""
    return OrderIntent.objects.filter(
        ~Q(state__in=[str(state) for state in TERMINAL_STATES])
        | Q(intent_id__gte=recent, filled_amount__gt=0),
        account_id__any=account_ids,
    ).values(
        "intent_id",
        "account_id",
        "instrument_id",
        "symbol",
        "side",
        "type",
        "amount",
        "filled_amount",
        "state",
        "submission",
        "sandbox",
        "updated_at",
    )


@prepared
def _fills(intent_ids: Any) -> Any:
    return Fill.objects.filter(intent_id__any=intent_ids, sandbox=False).values_list(
        "intent_id", "amount", "venue_at", "recorded_at"
    )


@prepared
def _throttled() -> Any:
    rows = HedgeThrottle.objects.order_by().values_list("scope", "target")
    return rows.annotate(
        standing=Count("pk", filter=Q(released_at=None)), released=Max("released_at")
    )


@prepared
def _account_rows(account_ids: Any) -> Any:
    return ExchangeAccount.objects.filter(account_id__any=account_ids).values_list(
        "account_id",
        "exchange_id",
        "status",
        "exchange__is_enabled",
        "state__positions_at",
        "state__recovery_at",
        "sync_interval_seconds",
    )


def _throttles() -> Throttles:
    known = _throttled()
    return Throttles(
        standing=frozenset((scope, target) for scope, target, count, _ in known if count),
        released_at={(scope, target): at for scope, target, _, at in known if at is not None},
    )


def _accounts(account_ids: Collection[str], now: datetime) -> Iterable[AccountFacts]:
    rows = _account_rows(account_ids=list(account_ids))
    for account_id, venue_id, status, is_enabled, positions_at, recovery_at, seconds in rows:
        yield AccountFacts(
            account_id=account_id,
            venue_id=venue_id,
            status=AccountStatus(status),
            is_venue_enabled=is_enabled,
            positions_at=positions_at,
            is_known=is_known(
                positions_at,
                now=now,
                sync_interval=timedelta(seconds=seconds),
                recovery_at=recovery_at,
            ),
        )


def _contains(
    position: PositionFacts | None,
    look: datetime | None,
    *,
    venue_at: datetime,
    recorded_at: datetime,
) -> bool:
    """Tell whether a position we know was true after the fill, by the venue's clock or by ours.

    The two clocks are never compared with each other.
    """
    if look is not None and recorded_at <= look:
        return True
    if position is None:
        return False
    if position.venue_at is not None and venue_at <= position.venue_at:
        return True
    return recorded_at <= position.observed_at


def _flight(row: Mapping[str, Any], settled: Decimal, *, now: datetime) -> InFlight:
    is_over = IntentState(row["state"]) in TERMINAL_STATES
    waiting = ZERO if is_over else row["amount"] - row["filled_amount"]
    unsettled = max(ZERO, row["filled_amount"] - settled)
    unknown = row["submission"] == Submission.UNKNOWN and not is_over
    patience = timedelta(seconds=settings.HEDGE_PROTECT_AFTER)
    return InFlight(
        account_id=row["account_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        open_base=BaseAmount(waiting + unsettled),
        resting=(
            not is_over
            and row["type"] in _RESTING_TYPES
            and row["submission"] == Submission.ACKNOWLEDGED
            and unsettled == 0
        ),
        unknown=unknown,
        lost=unknown and bool(patience) and now - row["updated_at"] >= patience,
    )
