"""Syncs: reading an account at its venue, and writing down what that told."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import egress, observations
from accounts.choices import SyncProblem, SyncStatus
from accounts.claims import commit_without_waiting, sync_claim
from accounts.models import AccountState, AccountSyncJob, ExchangeAccount
from accounts.reading import FUNDING, TRANSFERS, AccountReading, read_account
from accounts.selectors import (
    able_to_read,
    asks_mode,
    fill_symbols,
    fills_since,
    funding_since,
    history_asked,
    transfers_since,
)
from accounts.services.histories import Problem, histories_problems, histories_write
from accounts.services.observing import (
    UNKNOWN_INSTRUMENT,
    is_older,
    lines_disbelieve,
    state_locked,
    write_balance,
    write_positions,
)
from controlplane import bus
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets.venues.errors import VenueError
from markets.venues.ratelimit.saying import recovering

logger = logging.getLogger(__name__)

MAX_ERROR: Final = 500


def account_sync(
    *,
    account: ExchangeAccount,
    actor: Actor,
    thorough: bool = False,
    asks_transfers: bool = False,
) -> AccountSyncJob | None:
    """Read the account at its venue now and write what was learned.

    Returns the record of it, or None when another sync of this account is under way. Queries
    fail one by one: what one would have told stays as it was, and the record says `partial` or
    `failed`. `thorough` is for when nobody has watched: it reads the fills of every instrument
    ever held, not only recent ones, and goes before routine reads where the venue limits them. So
    does `asks_transfers`, which has transfers read whenever they last were: a loss may be one.
    Publishes FillsSeen and OrdersSeen, then AccountRead, by which the account is reconciled, then
    AccountMoved, so who reacts to it knows all of it.
    """
    wanted = _Wanted(thorough, asks_transfers)
    with recovering(really=thorough or asks_transfers):
        return _sync(able_to_read(account), actor, wanted)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a sync reads beyond the usual."""

    thorough: bool
    transfers: bool


def _sync(account: ExchangeAccount, actor: Actor, wanted: _Wanted) -> AccountSyncJob | None:
    with sync_claim(account.pk) as claimed:
        if not claimed:
            return None
        job = _sync_begin(account)
        try:
            reading = _read(account, wanted)
            _sync_finish(job, account, reading, actor)
        except BaseException:
            _sync_break(job)
            raise
    _publish(account, reading)
    return job


def _read(account: ExchangeAccount, wanted: _Wanted) -> AccountReading:
    began, thorough = timezone.now(), wanted.thorough
    state = AccountState.objects.get(account=account.pk)
    try:
        client = egress.execution_client(account)
    except VenueError as error:
        return AccountReading(at=began, errors={"client": error})
    paid_since = funding_since(account, state, now=began, thorough=thorough)
    moved_since = transfers_since(
        account,
        state,
        now=began,
        thorough=thorough,
        with_funding=paid_since is not None,
        asks=wanted.transfers,
    )
    return egress.run(
        read_account(
            client,
            venue_symbols=fill_symbols(state, thorough=thorough),
            since=fills_since(state, now=began),
            funding=history_asked(state, FUNDING, since=paid_since, now=began),
            transfers=history_asked(
                state, TRANSFERS, since=moved_since, now=began, pressing=wanted.transfers
            ),
            asks_mode=asks_mode(account, state),
        )
    )


@transaction.atomic
def _sync_begin(account: ExchangeAccount) -> AccountSyncJob:
    """Open the record. Whoever left one open is dead: the claim is ours."""
    commit_without_waiting()
    now = timezone.now()
    AccountSyncJob.objects.filter(account=account, status=SyncStatus.RUNNING).update(
        status=SyncStatus.FAILED, finished_at=now, error=_("The sync was interrupted.")
    )
    AccountState.objects.filter(account=account).update(sync_started_at=now)
    return AccountSyncJob.objects.create(
        account=account, proxy_session_id=account.proxy_session_id, started_at=now
    )


@transaction.atomic
def _sync_finish(
    job: AccountSyncJob, account: ExchangeAccount, reading: AccountReading, actor: Actor
) -> None:
    commit_without_waiting()
    state = state_locked(account)
    known_fills_until = state.fills_at
    problems = {name: _problem(account, name, it) for name, it in reading.errors.items()}
    if reading.balance is not None:
        write_balance(state, account, replace(reading.balance, at=reading.at))
    if reading.positions is not None:
        unknown = write_positions(state, account, reading.positions, at=reading.at, complete=True)
        state.unknown_symbols = unknown
        problems |= {symbol: _unlisted(symbol) for symbol in unknown}
    if reading.open_orders is not None and not is_older(reading.at, state.orders_at):
        state.orders_at, state.open_orders = reading.at, len(reading.open_orders)
    histories_write(state, account, reading, actor)
    problems = histories_problems(state) | problems
    lines_disbelieve(account=account, disbelieved=reading.unbelieved)
    job.status = _status(reading, problems)
    job.error = "\n".join(problem.text for problem in problems.values())
    gravest = SyncProblem.gravest(problem.kind for problem in problems.values())
    _publish_health(account, state.last_error_code, gravest, reading, job, actor)
    state.last_error, state.last_error_code = job.error, gravest
    state.save()
    job.positions_seen = None if reading.positions is None else len(reading.positions)
    job.open_orders_seen = None if reading.open_orders is None else len(reading.open_orders)
    job.fills_added = (
        sum(known_fills_until is None or fill.at > known_fills_until for fill in reading.fills)
        if reading.fills_complete
        else None
    )
    _close(job)
    bus.send("console", "console.changed", topic="accounts")


def _sync_break(job: AccountSyncJob) -> None:
    job.status, job.error = SyncStatus.FAILED, _("The sync broke off; the log says why.")
    _close(job)


def _close(job: AccountSyncJob) -> None:
    job.finished_at = timezone.now()
    job.duration_ms = int((job.finished_at - job.started_at).total_seconds() * 1000)
    job.save()


def _problem(account: ExchangeAccount, name: str, error: VenueError) -> Problem:
    """Return what a query's failure means; a history of money alone is no account unreached."""
    kind = SyncProblem.of(error.code)
    if name in (FUNDING, TRANSFERS) and kind is not SyncProblem.AUTHENTICATION_FAILED:
        kind = SyncProblem.HISTORY_UNREAD
    return Problem(kind, f"{name}: {error.code}: {_scrubbed(account, error.message)}")


def _unlisted(symbol: str) -> Problem:
    return Problem(SyncProblem.UNKNOWN_INSTRUMENT, f"{UNKNOWN_INSTRUMENT} {symbol}")


def _status(reading: AccountReading, problems: Mapping[str, Problem]) -> SyncStatus:
    if not problems:
        return SyncStatus.SUCCESS
    learned = (reading.balance, reading.positions, reading.open_orders)
    return SyncStatus.FAILED if learned == (None, None, None) else SyncStatus.PARTIAL


def _publish(account: ExchangeAccount, reading: AccountReading) -> None:
    has_told_fills = _fills_tell(account, reading)
    if has_told_fills and reading.fills_complete:
        # Only now: trades that could not be recorded, whatever died, are read again.
        state = AccountState.objects.filter(account=account)
        state.filter(Q(fills_at=None) | Q(fills_at__lt=reading.at)).update(fills_at=reading.at)
    if reading.open_orders is not None:
        observations.publish(
            observations.OrdersSeen(account.pk, reading.open_orders, all_open=True, at=reading.at)
        )
    observations.publish(observations.AccountRead(account.pk, reading, has_told_fills))
    if reading.balance is not None or reading.positions is not None:
        observations.publish(observations.AccountMoved(account.pk))


def _fills_tell(account: ExchangeAccount, reading: AccountReading) -> bool:
    """Have the trades recorded; False when they were not, which holds nothing else back."""
    try:
        if reading.fills:
            observations.publish(observations.FillsSeen(account.pk, reading.fills))
    except Exception:
        logger.exception("The trades of %s could not be recorded.", account.pk)
        return False
    return True


def _scrubbed(account: ExchangeAccount, text: str) -> str:
    """Return an error text with nothing in it that could be this account's credential."""
    return account.masked(text)[:MAX_ERROR]


@dataclass(frozen=True, slots=True)
class _Health:
    """What kind of trouble an account's syncs are in."""

    failing: bool
    refused: bool

    @classmethod
    def of(cls, problem: str | None) -> "_Health":
        return cls(bool(problem), problem == SyncProblem.AUTHENTICATION_FAILED)


def _publish_health(
    account: ExchangeAccount,
    last: str | None,
    now: str | None,
    reading: AccountReading,
    job: AccountSyncJob,
    actor: Actor,
) -> None:
    """Publish when trouble begins, when the key turns out refused, and when all is well again."""
    before, after = _Health.of(last), _Health.of(now)
    if before == after:
        return
    if after.refused and not before.refused:
        text, severity = _("%(venue)s refuses the key of %(account)s."), Severity.CRITICAL
    elif after.failing and not before.failing:
        text, severity = _("%(account)s could not be read in full."), Severity.WARN
    elif not after.failing:
        text, severity = _("%(account)s is read in full again."), Severity.INFO
    else:
        return
    events.publish(
        Occurrence(
            type=EventType.ACCOUNT,
            severity=severity,
            account_id=account.pk,
            message=text % {"account": account.pk, "venue": account.exchange_id},
            payload={
                "actor": actor.name,
                "syncJobId": str(job.pk),
                "errors": {name: error.code for name, error in reading.errors.items()},
            },
        )
    )
