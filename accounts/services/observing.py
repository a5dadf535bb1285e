"""Writes of what was observed of accounts.

Order of observations. Each carries the time it was begun by our clock: for a query the moment
before the request left, for a stream the receipt of the frame. A row is never overwritten by an
observation begun before the one it holds, so a slow answer cannot undo what a stream has said
since; nor is anything older than the last complete look believed. A stream's frames also carry
the venue's time and are ordered by it among themselves; the two clocks are never compared.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import observations
from accounts.choices import SyncProblem
from accounts.claims import commit_without_waiting
from accounts.domain.utilization import BandPlace, has_crossed, place_in_band, utilization
from accounts.models import AccountState, EquitySample, ExchangeAccount, Position
from controlplane import bus
from controlplane.base import events
from controlplane.base.prepared import prepared
from controlplane.kernel.events import EventType, Occurrence, Severity
from controlplane.kernel.units import plain
from markets.models import Instrument
from markets.venues.types import AccountUpdate, BalanceReport, PositionReport, Quarantined

EQUITY_EVERY: Final = timedelta(seconds=10)
"""Equity samples of one account are at least this far apart."""
UNKNOWN_INSTRUMENT: Final = "unknown instrument"
MOST_LINES: Final = 20
"""So many lines of one look are told of: a history may be bad throughout."""


@transaction.atomic
def positions_observe(
    *, account: ExchangeAccount, reports: Sequence[PositionReport], at: datetime, complete: bool
) -> None:
    """Write the positions seen by an observation begun at `at`, and publish AccountMoved.

    `complete` reports name every position of the account: instruments absent from them are
    flat. Partial ones touch only what they name. A venue symbol we have no instrument for stays
    out and is published once; a complete report with such a symbol does not count as a complete
    look, because part of the exposure is unknown.
    """
    state = state_locked(account)
    write_positions(state, account, reports, at=at, complete=complete)
    state.save()
    _tell_moved(account)


@transaction.atomic
def balance_observe(*, account: ExchangeAccount, report: BalanceReport) -> None:
    """Write a margin state observed at `report.at`, and publish AccountMoved.

    Adds an EquitySample when the last one is old enough, and a utilization alert when the
    utilization left or entered the account's band.
    """
    state = state_locked(account)
    write_balance(state, account, report)
    state.save()
    _tell_moved(account)


@transaction.atomic
def stream_observe(*, account: ExchangeAccount, update: AccountUpdate, at: datetime) -> None:
    """Write what the private stream said in a frame received at `at`; telling is the caller's.

    Belongs at the top: the transaction commits without waiting for the disk, nor, as it notifies
    nobody, for another that does.
    """
    commit_without_waiting()
    state = state_locked(account)
    write_positions(state, account, update.positions, at=at, complete=False)
    if update.wallet_balance is not None and not is_older(at, state.balance_at):
        state.wallet_balance = update.wallet_balance
    state.stream_at = at
    state.save()


def stream_heard(*, account_id: str, at: datetime) -> None:
    """Note that the private stream was alive at `at`."""
    AccountState.objects.filter(account=account_id).update(stream_at=at)


def stream_tell(*, account: ExchangeAccount, trouble: str) -> None:
    """Publish that the private stream does not stand, and why; no `trouble`: that it does again."""
    text = (
        _("The private stream of %(account)s does not stand: %(trouble)s.")
        if trouble
        else _("The private stream of %(account)s stands again.")
    )
    events.publish(
        Occurrence(
            type=EventType.ACCOUNT,
            severity=Severity.WARN if trouble else Severity.INFO,
            account_id=account.pk,
            message=text % {"account": account.pk, "trouble": trouble},
            payload={"code": "private_stream", "trouble": trouble},
        )
    )


@transaction.atomic
def stream_disbelieve(*, account: ExchangeAccount, disbelieved: Sequence[Quarantined]) -> None:
    """Publish what the private stream said that was not believed, keys of the account masked."""
    text = _("A frame of %(account)s's private stream was not believed (%(reason)s).")
    _disbelieve(account, disbelieved, text=text, code="frame_quarantined")


@transaction.atomic
def lines_disbelieve(*, account: ExchangeAccount, disbelieved: Sequence[Quarantined]) -> None:
    """Publish what lines of the account's history were not believed, likewise masked."""
    text = _("A line of %(account)s's history was not believed (%(reason)s).")
    _disbelieve(account, disbelieved[:MOST_LINES], text=text, code="line_quarantined")


def _disbelieve(
    account: ExchangeAccount, disbelieved: Iterable[Quarantined], *, text: str, code: str
) -> None:
    for event in disbelieved:
        events.publish(
            Occurrence(
                type=EventType.ACCOUNT,
                severity=Severity.WARN,
                account_id=account.pk,
                message=text % {"account": account.pk, "reason": event.reason},
                payload={
                    "code": code,
                    "reason": event.reason,
                    "detail": account.masked(event.detail),
                },
            )
        )


# Rows, written with the account's state locked


def state_locked(account: ExchangeAccount) -> AccountState:
    """Lock the account's state: writers of one account's facts come one after the other."""
    state: AccountState | None = _state_locked.first(account_id=account.pk)
    if state is None:
        raise AccountState.DoesNotExist(account.pk)
    return state


@prepared
def _state_locked(account_id: Any) -> Any:
    return AccountState.objects.select_for_update().filter(account=account_id)


def is_older(at: datetime, than: datetime | None) -> bool:
    return than is not None and at < than


def write_positions(
    state: AccountState,
    account: ExchangeAccount,
    reports: Sequence[PositionReport],
    *,
    at: datetime,
    complete: bool,
) -> list[str]:
    """Write rows and `state.positions_at`; return the venue symbols that were not believed."""
    if is_older(at, state.positions_at):
        return []
    times_told = Counter(report.venue_symbol for report in reports)
    rows = _rows(account, times_told, at)
    changed, unknown = [], set()
    for report in reports:
        row = rows.get(report.venue_symbol)
        if row is None or times_told[report.venue_symbol] > 1:
            unknown |= {report.venue_symbol} if report.size else set()
        elif not _is_superseded(row, report, at, complete=complete):
            row.venue_at = row.venue_at if complete else report.at
            changed.append(_merged(row, report, at))
    if complete:
        untold = [row for symbol, row in rows.items() if symbol not in times_told and row.size]
        changed += [_flattened(row, at) for row in untold if not is_older(at, row.observed_at)]
        if not unknown:
            state.positions_at = at
    _save_positions(changed)
    _quarantine(state, account, sorted(unknown))
    return sorted(unknown)


def _rows(
    account: ExchangeAccount, venue_symbols: Iterable[str], at: datetime
) -> dict[str, Position]:
    """Return the account's rows by venue symbol, and unsaved flat ones for what it newly holds."""
    known = _known(account_id=account.pk)
    rows = {row.instrument.venue_symbol: row for row in known}
    if missing := [symbol for symbol in venue_symbols if symbol not in rows]:
        rows |= {
            instrument.venue_symbol: Position(
                account=account, instrument=instrument, size=Decimal(0), observed_at=at
            )
            for instrument in Instrument.objects.filter(
                venue=account.exchange_id, venue_symbol__in=missing
            )
        }
    return rows


@prepared
def _known(account_id: Any) -> Any:
    return Position.objects.live().filter(account=account_id).select_related("instrument")


def _is_superseded(row: Position, report: PositionReport, at: datetime, *, complete: bool) -> bool:
    """Tell whether the row holds something newer; frames are compared by the venue's time too."""
    return is_older(at, row.observed_at) or (not complete and is_older(report.at, row.venue_at))


def _merged(row: Position, report: PositionReport, at: datetime) -> Position:
    """Take over the report. What it does not tell is unknown once the size has changed."""
    if row.size != report.size:
        row.liquidation_price = row.initial_margin = row.unrealized_pnl = None
    row.size, row.observed_at = report.size, at
    row.entry_price = _price(report.entry_price)
    if report.mark_price is not None:
        row.mark_price = _price(report.mark_price)
    if report.unrealized_pnl is not None:
        row.unrealized_pnl = report.unrealized_pnl
    if report.liquidation_price is not None:
        row.liquidation_price = _price(report.liquidation_price)
    if report.initial_margin is not None:
        row.initial_margin = report.initial_margin
    return row


def _flattened(row: Position, at: datetime) -> Position:
    row.size, row.observed_at = Decimal(0), at
    row.entry_price = row.liquidation_price = None
    row.unrealized_pnl = row.initial_margin = Decimal(0)
    return row


def _price(value: Decimal | None) -> Decimal | None:
    """Venues write 0 for a price that does not exist, such as the entry of a flat position."""
    return value if value is not None and value > 0 else None


_POSITION_FACTS: Final = (
    "size",
    "entry_price",
    "mark_price",
    "unrealized_pnl",
    "liquidation_price",
    "initial_margin",
    "observed_at",
    "venue_at",
)


def _save_positions(rows: Iterable[Position]) -> None:
    Position.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["account", "instrument", "sandbox"],
        update_fields=_POSITION_FACTS,
    )


def write_balance(state: AccountState, account: ExchangeAccount, report: BalanceReport) -> None:
    if is_older(report.at, state.balance_at):
        return
    before = _band_place(account, state.initial_margin, state.equity)
    state.settlement_asset, state.balance_at = report.asset, report.at
    state.equity, state.wallet_balance = report.equity, report.wallet_balance
    state.available, state.initial_margin = report.available, report.initial_margin
    state.maintenance_margin = report.maintenance_margin
    used = utilization(initial_margin=report.initial_margin, equity=report.equity)
    last = account.equity_samples.order_by("-at").values_list("at", flat=True).first()
    if last is None or report.at - last >= EQUITY_EVERY:
        EquitySample.objects.create(
            account=account, equity=report.equity, utilization=used, at=report.at
        )
    after = _band_place(account, report.initial_margin, report.equity)
    if used is not None and has_crossed(before, after):
        _publish_band(account, used, after)


def _band_place(
    account: ExchangeAccount, initial_margin: Decimal | None, equity: Decimal | None
) -> BandPlace:
    return place_in_band(
        utilization(initial_margin=initial_margin, equity=equity),
        low=account.utilization_target_min,
        high=account.utilization_target_max,
    )


# News


def _tell_moved(account: ExchangeAccount) -> None:
    bus.send("console", "console.changed", topic="accounts")
    moved = observations.AccountMoved(account.pk)
    transaction.on_commit(partial(observations.publish, moved))


def _quarantine(state: AccountState, account: ExchangeAccount, unknown: Iterable[str]) -> None:
    """Publish each symbol once: the state remembers it until a sync finds it gone."""
    for symbol in unknown:
        known = state.unknown_symbols or []
        if symbol in known:
            continue
        state.unknown_symbols = [*known, symbol]
        state.last_error = f"{state.last_error}\n{UNKNOWN_INSTRUMENT} {symbol}".strip()
        problems = (state.last_error_code, SyncProblem.UNKNOWN_INSTRUMENT)
        state.last_error_code = SyncProblem.gravest(SyncProblem(it) for it in problems if it)
        events.publish(
            Occurrence(
                type=EventType.ACCOUNT,
                severity=Severity.CRITICAL,
                account_id=account.pk,
                message=_(
                    "%(account)s holds %(symbol)s, which is no known instrument of %(venue)s."
                )
                % {"account": account.pk, "symbol": symbol, "venue": account.exchange_id},
                payload={"code": "unknown_instrument", "venueSymbol": symbol},
            )
        )


def _publish_band(account: ExchangeAccount, used: Decimal, place: BandPlace) -> None:
    texts = {
        BandPlace.ABOVE: _("Utilization of %(account)s is above its band."),
        BandPlace.BELOW: _("Utilization of %(account)s is below its band."),
        BandPlace.INSIDE: _("Utilization of %(account)s is back in its band."),
    }
    events.publish(
        Occurrence(
            type=EventType.UTILIZATION_ALERT,
            severity=Severity.WARN if place is BandPlace.ABOVE else Severity.INFO,
            account_id=account.pk,
            message=texts[place] % {"account": account.pk},
            payload={
                "place": place.value,
                "utilization": f"{used:.6f}",
                "utilizationTargetMin": plain(account.utilization_target_min),
                "utilizationTargetMax": plain(account.utilization_target_max),
            },
        )
    )
