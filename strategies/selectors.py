"""Reads of strategies: what an order's gate and a strategy need to know at this moment."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, Count, F, Q, Sum, When, prefetch_related_objects

from accounts.choices import AccountStatus
from accounts.domain.risk import Circumstances, Holding
from accounts.models import AccountState, ExchangeAccount, Position
from controlplane.base.prepared import prepared
from controlplane.kernel.errors import Denied
from controlplane.kernel.units import ZERO
from markets import selectors as markets
from markets.domain.quotes import is_fresh
from markets.models import FeedTraffic, FundingRate, Instrument, Quote
from markets.venue_watch import clock_apart
from strategies.choices import ModuleStatus
from strategies.domain.capacity import capacity
from strategies.models import AccountAllocation, OrderIntent, StrategyModule
from strategies.moment import Moment
from strategies.plugins import port
from strategies.tallies import account_standing, tallies, twin

POSITIONS_VALID: Final = timedelta(seconds=60)
"""Positions read longer ago than this, and than four sync intervals, are unknown."""
SYNCS_VALID: Final = 4
FUNDING_VALID: Final = timedelta(hours=2)
"""A funding rate read longer ago is unknown."""


def intent_to_send(intent_id: UUID | str) -> OrderIntent:
    """Return the intent with everything its sending needs; raises DoesNotExist."""
    found: OrderIntent | None = _to_send.first(intent_ids=[UUID(str(intent_id))])
    if found is None:
        raise OrderIntent.DoesNotExist(intent_id)
    return found


def intents_to_send(intent_ids: Collection[UUID]) -> list[OrderIntent]:
    """Return intents likewise, in the order in which everybody locks their accounts."""
    return _to_send(intent_ids=list(intent_ids))


@prepared
def _to_send(intent_ids: Any) -> Any:
    intents = OrderIntent.objects.filter(pk__any=intent_ids).order_by("account_id", "pk")
    return intents.select_related(
        "instrument",
        "module",
        "account__exchange",
        "account__risk_envelope",
        "account__proxy_session__proxy_profile",
    )


def accounts_for_claim(account_ids: Collection[str]) -> dict[str, ExchangeAccount]:
    """Return accounts by id, locked until the transaction ends: claims of one come one by one.

    Their proxy sessions are not joined: after a wait for the lock PostgreSQL takes an account's
    new row with the rows it had joined to the old one.
    """
    accounts = _accounts_locked(account_ids=list(account_ids))
    prefetch_related_objects(accounts, "proxy_session__proxy_profile")
    return {account.pk: account for account in accounts}


@prepared
def _accounts_locked(account_ids: Any) -> Any:
    locked = ExchangeAccount.objects.select_for_update(of=("self",), no_key=True)
    rows = locked.select_related("exchange", "risk_envelope")
    return rows.filter(pk__any=account_ids).order_by("pk")


def account_for_claim(account_id: str) -> ExchangeAccount:
    """Return one account likewise."""
    return accounts_for_claim([account_id])[account_id]


def accounts_in_flight(account_ids: Collection[str]) -> set[str]:
    """Return those of the accounts with a live order that was sent and has not ended."""
    sent = OrderIntent.objects.live().filter(account__in=account_ids, state="submitted")
    return set(sent.values_list("account", flat=True))


def pair_problem(intent: OrderIntent) -> Denied | None:
    """Return why the intent may not be sent without its other leg, or None."""
    pair_id = intent.hedge_pair_intent_id
    if pair_id is None or intent.reduce_only:
        return None
    never_sent = OrderIntent.objects.filter(
        pk=pair_id, submission="none", state__in=["failed", "cancelled"]
    )
    if not never_sent.exists():
        return None
    return Denied("OTHER_LEG_NOT_SENT", f"OTHER_LEG_NOT_SENT: leg={pair_id}", leg=pair_id)


def stop_problem(intent: OrderIntent) -> Denied | None:
    """Return why an order already claimed may not be sent any more, or None: a stop since then.

    Asked in the last moment before the send. What reduces is never held up.
    """
    if intent.reduce_only:
        return None
    ((account, module),) = _statuses(intent_id=intent.pk)
    if account != AccountStatus.ACTIVE:
        return Denied("ACCOUNT_NOT_ACTIVE", f"ACCOUNT_NOT_ACTIVE: status={account}")
    if module != ModuleStatus.ENABLE:
        return Denied("MODULE_NOT_ENABLED", f"MODULE_NOT_ENABLED: status={module}")
    return None


@prepared
def _statuses(intent_id: Any) -> Any:
    """What a stop would have changed of an order's account and module."""
    return OrderIntent.objects.filter(pk=intent_id).values_list("account__status", "module__status")


def holding(intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = ()) -> Holding:
    """Return the account's holding of the intent's instrument, other sent orders counted whole.

    What an order filled since the position was last read is counted too: the position may not
    show it yet. Orders `beside` it count as if they were sent. Nothing is read for a reduce-only
    order, which is held to none of it.
    """
    if intent.reduce_only:
        return Holding(position=None, buying=ZERO, selling=ZERO, has_unknown_order=False)
    position, seen_at, is_disputed = _position(intent, moment)
    (sums,) = _beside(
        account_id=intent.account_id,
        instrument_id=intent.instrument_id,
        sandbox=intent.sandbox,
        seen_at=seen_at,
        intent_id=intent.pk,
    ) or ({"buying": None, "selling": None, "unknown": 0},)
    return Holding(
        position=position,
        buying=(sums["buying"] or Decimal(0)) + _planned(intent, "buy", beside),
        selling=(sums["selling"] or Decimal(0)) + _planned(intent, "sell", beside),
        has_unknown_order=bool(sums["unknown"]),
        is_disputed=is_disputed,
    )


@prepared
def _beside(account_id: Any, instrument_id: Any, sandbox: Any, seen_at: Any, intent_id: Any) -> Any:
    """What other orders of an account and instrument still trade, or traded since `seen_at`."""
    others = (
        OrderIntent.objects.filter(account=account_id, instrument=instrument_id, sandbox=sandbox)
        .filter(Q(state="submitted") | Q(updated_at__gt=seen_at, filled_amount__gt=0))
        .exclude(pk=intent_id)
    )
    open_rest = Case(
        When(state="submitted", then=F("amount") - F("filled_amount")), default=Decimal(0)
    )
    unseen = Case(When(updated_at__gt=seen_at, then=F("filled_amount")), default=Decimal(0))
    # Of all rows together: grouped by what is the same in each.
    return others.values("account").annotate(
        buying=Sum(open_rest + unseen, filter=Q(side="buy")),
        selling=Sum(open_rest + unseen, filter=Q(side="sell")),
        unknown=Count("pk", filter=Q(state="submitted", submission="unknown")),
    )


def _planned(intent: OrderIntent, side: str, beside: Sequence[OrderIntent]) -> Decimal:
    """Return the base that other planned orders would trade of the same holding."""
    place = (intent.account_id, intent.instrument_id)
    amounts = (
        other.amount
        for other in beside
        if (other.account_id, other.instrument_id) == place and other.side == side
    )
    return sum(amounts, Decimal(0))


def _position(intent: OrderIntent, moment: Moment) -> tuple[Decimal | None, datetime, bool]:
    """Return the signed base size (None when unknown), until when it tells of fills, and whether
    trades do not explain it.
    """
    row = _held.first(
        account_id=intent.account_id,
        instrument_id=intent.instrument_id,
        sandbox=intent.sandbox,
    )
    size, seen_at, disputed_at = row or (Decimal(0), None, None)
    is_disputed = disputed_at is not None
    if intent.sandbox:  # our own record: always known, written with each fill
        return size, moment.now, is_disputed
    read_at = moment.look(intent.account_id).positions_at
    if read_at is None or not _is_valid(read_at, intent.account, now=moment.now):
        return None, moment.now, is_disputed
    return size, max(seen_at or read_at, read_at), is_disputed


@prepared
def _held(account_id: Any, instrument_id: Any, sandbox: Any) -> Any:
    held = Position.objects.filter(account=account_id, instrument=instrument_id, sandbox=sandbox)
    return held.order_by().values_list("size", "observed_at", "disputed_at")


def positions_read_at(account: ExchangeAccount, *, now: datetime) -> datetime | None:
    """Return when the account's positions were last read completely; None when too long ago."""
    read_at: datetime | None = (
        AccountState.objects.filter(account=account).values_list("positions_at", flat=True).first()
    )
    return read_at if _is_valid(read_at, account, now=now) else None


def _is_valid(read_at: datetime | None, account: ExchangeAccount, *, now: datetime) -> bool:
    validity = max(POSITIONS_VALID, SYNCS_VALID * timedelta(seconds=account.sync_interval_seconds))
    return read_at is not None and now - read_at <= validity


def circumstances(
    intent: OrderIntent, moment: Moment, *, beside: Sequence[OrderIntent] = (), lock: bool = True
) -> Circumstances:
    """Return the stops, limits and prices that hold for the intent right now.

    A reduce-only order is held to none of the limits, so none of them is read.
    """
    account, adds = intent.account, not intent.reduce_only
    is_sent_out = adds and not intent.sandbox
    return Circumstances(
        account_is_active=account.status == AccountStatus.ACTIVE,
        account_is_reconciled=not adds or intent.sandbox or moment.is_armed(account),
        venue_is_enabled=account.exchange.is_enabled,
        module_is_enabled=intent.module.status == ModuleStatus.ENABLE,
        instrument_is_active=intent.instrument.is_active,
        instrument_is_frozen=intent.instrument.frozen_at is not None,
        reference=moment.references([intent.symbol]).get(intent.symbol) if adds else None,
        limits=account.risk_envelope.limits(),
        standing=account_standing(intent, moment, beside=beside) if adds else None,
        tallies=tallies(intent, moment, beside=beside, lock=lock) if adds else (),
        twin=twin(intent) if adds else "",
        clock_apart=clock_apart(account.exchange, now=moment.now) if is_sent_out else None,
        orders_lost=account.exchange.standing.lost(now=moment.now) if is_sent_out else 0,
    )


def modules_to_evaluate() -> list[StrategyModule]:
    """Return the enabled modules, in a fixed order."""
    return list(StrategyModule.objects.enabled().order_by("pk"))


def market_view(venue_ids: Collection[str], *, now: datetime) -> port.MarketView:
    """Return every instrument on these venues with a fresh quote, one per venue and symbol.

    Frozen ones are left out. Where a feed's marks are silent funding is unknown, however young the
    last rate is.
    """
    quotes = Quote.objects.filter(
        feed__exchange_id__in=venue_ids, feed__is_enabled=True, feed__exchange__is_enabled=True
    ).select_related("feed__traffic")
    fresh = {
        (quote.feed.exchange_id, quote.feed.symbol): quote
        for quote in quotes
        if is_fresh(quote.received_at, now=now, threshold_ms=quote.feed.freshness_threshold)
    }
    instruments: dict[tuple[str, str], Instrument] = {}
    for venue_id, symbol in fresh:
        instrument = Instrument.objects.tradable(venue_id=venue_id, symbol=symbol).first()
        if instrument is not None and instrument.frozen_at is None:
            instruments[venue_id, symbol] = instrument
    funding = _funding([instrument.pk for instrument in instruments.values()], now=now)
    return {
        key: port.MarketState(
            instrument_id=instrument.pk,
            spec=markets.instrument_spec(instrument),
            bid=fresh[key].bid,
            ask=fresh[key].ask,
            maker_fee=instrument.maker_fee,
            taker_fee=instrument.taker_fee,
            funding=None if _has_silent_marks(fresh[key]) else funding.get(instrument.pk),
        )
        for key, instrument in instruments.items()
    }


def _has_silent_marks(quote: Quote) -> bool:
    traffic: FeedTraffic | None = getattr(quote.feed, "traffic", None)
    return traffic is not None and traffic.marks_are_silent


def _funding(instrument_ids: Collection[UUID], *, now: datetime) -> dict[UUID, port.Funding]:
    """Return each instrument's next settlement, where one is known."""
    rows = FundingRate.objects.filter(
        instrument_id__in=instrument_ids,
        funding_time__gt=now,
        observed_at__gte=now - FUNDING_VALID,
    )
    return {
        row.instrument_id: port.Funding(
            rate=row.rate, next_at=row.funding_time, interval=timedelta(hours=row.interval_hours)
        )
        for row in rows.order_by("-funding_time")  # the next settlement is written last
    }


def account_view(module: StrategyModule, *, now: datetime) -> port.AccountView:
    """Return the accounts the module may use now, each with its room and what it holds."""
    allocations = AccountAllocation.objects.filter(
        module=module, account__status=str(AccountStatus.ACTIVE), account__exchange__is_enabled=True
    ).select_related("account__risk_envelope", "account__state")
    return [_account(module, allocation, now=now) for allocation in allocations]


def _account(
    module: StrategyModule, allocation: AccountAllocation, *, now: datetime
) -> port.AccountState:
    account, state = allocation.account, allocation.account.state
    sandbox = module.dry_run_enabled or module.requires_sandbox or allocation.sandbox_mode
    in_flight = OrderIntent.objects.in_flight().filter(account=account, sandbox=sandbox)
    held = Position.objects.filter(account=account, sandbox=sandbox).held()
    known = positions_read_at(account, now=now) is not None
    is_full = in_flight.filter(module=module).count() >= allocation.max_concurrent_orders
    margin_known = _is_valid(state.balance_at, account, now=now)
    return port.AccountState(
        account_id=account.pk,
        venue_id=account.exchange_id,
        sandbox=sandbox,
        capacity=Decimal(0)
        if is_full
        else capacity(
            equity=state.equity if margin_known else None,
            initial_margin=state.initial_margin if margin_known else None,
            utilization_max=account.utilization_target_max,
            max_leverage=account.risk_envelope.max_leverage,
            max_position_value=account.max_position_value,
            weight=allocation.weight,
        ),
        taken=frozenset(
            {
                *held.values_list("instrument__symbol", flat=True),
                *in_flight.values_list("symbol", flat=True),
            }
        )
        if known
        else None,
    )


def signals_open(module: StrategyModule) -> int:
    """Return how many symbols the module has orders in flight for, or a position left from."""
    signed = Case(When(side="buy", then=F("filled_amount")), default=-F("filled_amount"))
    return (
        OrderIntent.objects.filter(module=module)
        .values("symbol", "account", "sandbox")
        .annotate(net=Sum(signed), open=Count("pk", filter=Q(state__in=["pending", "submitted"])))
        .exclude(net=0, open=0)
        .values("symbol")
        .distinct()
        .count()
    )
