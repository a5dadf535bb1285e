"""Reads of accounts."""

import copy
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Q

from accounts.choices import ProxyStatus
from accounts.domain.arming import Reconciled
from accounts.domain.whatif import AccountAfter, HeldPosition, what_if
from accounts.models import AccountState, ExchangeAccount, Position, ProxySession
from accounts.reading import FUNDING, TRANSFERS, HistoryAsked
from markets.venues.registry import capabilities

FILLS_OVERLAP: Final = timedelta(minutes=1)
"""Fills are read again this far back: venue clocks are seconds off, histories lag."""
FIRST_FILLS: Final = timedelta(days=1)
FUNDING_EVERY: Final = timedelta(minutes=5)
"""Venues settle by the hour or less often, and the query is a dear one (Binance: weight 30)."""
FUNDING_ANEW: Final = timedelta(minutes=1)
"""A look after an interruption reads it sooner; of several in a row only the first."""
DOUBTED_FOR: Final = timedelta(seconds=12)
"""Money that nothing explains has funding read sooner, when it has outlasted the next look: a
trade between the answers of one look differs too."""
FUNDING_RETRY: Final = timedelta(minutes=1)
"""What could not be read is as dear to ask for, so it is not at every look."""
FUNDING_OVERLAP: Final = timedelta(hours=1)
FIRST_FUNDING: Final = timedelta(days=7)
TRANSFERS_EVERY: Final = timedelta(minutes=30)
"""Transfers are rare and show in the wallet at once, and the query is as dear as funding's, or
dearer (Pacifica: 12 of an address's 100 credits a minute for every hundred lines)."""
TRANSFERS_ANEW: Final = timedelta(minutes=5)
"""After an interruption they are read sooner; several in a row must leave credits for trades."""
TRANSFERS_RETRY: Final = timedelta(minutes=5)
TRANSFERS_ASKED: Final = timedelta(seconds=2)
"""While a loss may be a transfer that is not read yet they are read as often as this."""
TRANSFERS_OVERLAP: Final = timedelta(minutes=10)
FIRST_TRANSFERS: Final = timedelta(hours=1)
GOES_ON_AFTER: Final = timedelta(minutes=1)
"""A history longer than a slice is read on after this: it leaves most of each limit to others."""
CURSOR_LASTS: Final = timedelta(hours=6)
"""A history not at its end by then is begun anew: its cursor may be good no more."""
RETRY: Final[Mapping[str, timedelta]] = {FUNDING: FUNDING_RETRY, TRANSFERS: TRANSFERS_RETRY}


def fills_since(state: AccountState, *, now: datetime) -> datetime:
    """Return from when on fills are to be read: a little before what is known, or a day ago."""
    known = state.fills_at
    return now - FIRST_FILLS if known is None else known - FILLS_OVERLAP


def funding_since(
    account: ExchangeAccount, state: AccountState, *, now: datetime, thorough: bool
) -> datetime | None:
    """Return from when on funding is to be read; None when it is not due or cannot be told."""
    if not capabilities(account.exchange.dialect, account.exchange.endpoint()).funding_history:
        return None
    waits = _Unfinished.of(state, FUNDING)
    if waits and now - waits.tried_at < waits.pause:
        return None
    if state.funding_at is None:
        return now - FIRST_FUNDING
    doubted = state.cash_unexplained_at
    is_doubted = doubted is not None and state.funding_at < doubted and now - doubted >= DOUBTED_FOR
    age = now - state.funding_at
    is_due = waits or is_doubted or age >= (FUNDING_ANEW if thorough else FUNDING_EVERY)
    return state.funding_at - FUNDING_OVERLAP if is_due else None


def transfers_since(
    account: ExchangeAccount,
    state: AccountState,
    *,
    now: datetime,
    thorough: bool,
    with_funding: bool,
    asks: bool = False,
) -> datetime | None:
    """Return from when on transfers are to be read; None when not due or not to be told.

    Sooner than every half an hour when money does not add up: each time twice as long after it
    began not to, for a history may lag, and what it never explains must not cost a query at every
    look; nor must a history that cannot be read, or not at once. Along with funding, as
    `with_funding` says, while it is not known where to begin to compare. Now, unless just asked
    for, when a sync `asks`.
    """
    if not capabilities(account.exchange.dialect, account.exchange.endpoint()).transfer_history:
        return None
    read_at, doubted = state.transfers_at, state.cash_unexplained_at
    waits = _Unfinished.of(state, TRANSFERS)
    tried_at = state.transfers_tried_at
    is_asked = asks and (tried_at is None or now - tried_at >= TRANSFERS_ASKED)
    if waits and not is_asked and now - waits.tried_at < waits.pause:
        return None
    if read_at is None:
        return now - FIRST_TRANSFERS if state.base_cash_at is None else state.base_cash_at
    is_doubted = (
        doubted is not None
        and now - doubted >= DOUBTED_FOR
        and now - read_at >= max(DOUBTED_FOR, read_at - doubted)
    )
    begins = with_funding and state.cash_agreed_at is None
    every = TRANSFERS_ANEW if thorough else TRANSFERS_EVERY
    is_due = is_asked or waits or is_doubted or begins or now - read_at >= every
    return read_at - TRANSFERS_OVERLAP if is_due else None


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """The last read of a history, where it failed or is not at its end: when, and what next."""

    tried_at: datetime
    pause: timedelta

    @classmethod
    def of(cls, state: AccountState, name: str) -> "_Unfinished | None":
        """Return it for one of a state's histories, None where the last read was whole."""
        read_at, tried_at = getattr(state, f"{name}_at"), getattr(state, f"{name}_tried_at")
        begun_at = getattr(state, f"{name}_begun_at") or tried_at
        if tried_at is None or (read_at is not None and read_at >= begun_at):
            return None
        goes_on = bool(getattr(state, f"{name}_cursor"))
        return cls(tried_at, GOES_ON_AFTER if goes_on else RETRY[name])


def history_asked(
    state: AccountState,
    name: str,
    *,
    since: datetime | None,
    now: datetime,
    pressing: bool = False,
) -> HistoryAsked | None:
    """Return what slice of a history to ask for, from `since` on where it is begun anew."""
    if since is None:
        return None
    cursor, begun_at = getattr(state, f"{name}_cursor"), getattr(state, f"{name}_begun_at")
    if cursor and begun_at is not None and now - begun_at < CURSOR_LASTS:
        return HistoryAsked(since, cursor, begun_at, pressing)
    return HistoryAsked(since, pressing=pressing)


def history_resumes_at(state: AccountState, name: str) -> datetime | None:
    """Return when a history that is not read whole is asked for again, None for one that is."""
    waits = _Unfinished.of(state, name)
    return None if waits is None else waits.tried_at + waits.pause


def asks_mode(account: ExchangeAccount, state: AccountState) -> bool:
    """Tell whether a look is to ask how positions are kept: before an account is armed."""
    if not capabilities(account.exchange.dialect, account.exchange.endpoint()).position_mode:
        return False
    at, recovery_at = state.reconciled_at, state.recovery_at
    return at is None or (recovery_at is not None and at < recovery_at)


def reconciled_of(account: ExchangeAccount) -> Reconciled:
    """Return what is known of the account's reconciliations."""
    at, recovery_at = AccountState.objects.values_list("reconciled_at", "recovery_at").get(
        account=account.pk
    )
    interval = timedelta(seconds=account.sync_interval_seconds)
    return Reconciled(at=at, recovery_at=recovery_at, sync_interval=interval)


def account_after(account: ExchangeAccount, *, move: Decimal) -> AccountAfter:
    """Return the account as a move of all prices by a share (0.05 is 5 % up) would leave it."""
    state = AccountState.objects.get(account=account.pk)
    held = Position.objects.live().filter(account=account.pk).held()
    rows = held.values_list(
        "instrument__venue_symbol", "size", "mark_price", "liquidation_price"
    ).order_by("instrument__venue_symbol")
    return what_if(
        [HeldPosition(*row) for row in rows],
        equity=state.equity,
        initial_margin=state.initial_margin,
        move=move,
    )


def able_to_read(account: ExchangeAccount) -> ExchangeAccount:
    """Return the account as it may be read now: on another session while its own is out of use.

    An order of unknown fate keeps its account from moving and is resolved by reading, so what
    only reads may take any session of the profile. The row itself is not changed.
    """
    session = account.proxy_session
    if session is not None and session.status != ProxyStatus.FAILED:
        return account
    profile = account.proxy_profile
    if profile is None:
        return account
    others = ProxySession.objects.active().filter(proxy_profile=profile)
    other = others.select_related("proxy_profile").order_by("pk").first()
    if other is None or not profile.allows(account.exchange_id):
        return account
    reading = copy.copy(account)
    reading.proxy_session = other
    return reading


def fill_symbols(state: AccountState, *, thorough: bool) -> list[str]:
    """Return the venue symbols whose fills a sync reads: held, or gone flat since it last read.

    `thorough`: every instrument ever held.
    """
    positions = Position.objects.live().filter(account=state.account_id)
    if not thorough and state.fills_at is not None:
        recent = Q(observed_at__gte=state.fills_at - FILLS_OVERLAP)
        positions = positions.filter(~Q(size=0) | recent)
    return list(positions.values_list("instrument__venue_symbol", flat=True))


def streamed_accounts() -> Mapping[str, Hashable]:
    """Return the accounts whose private streams are to be held, each with its row's version."""
    rows = ExchangeAccount.objects.syncable().values_list(
        "pk", "updated_at", "exchange__updated_at", "proxy_session__updated_at"
    )
    return {row[0]: row[1:] for row in rows}
