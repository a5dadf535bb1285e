"""Driving an emergency stop: cancel, close, verify, again and again until the venue confirms.

Any number of processes may drive one stop: each takes the accounts that are due and that no
other works on, by a lease that ends by itself when its holder dies. What an account's venue does
not answer is tried again for ever, with growing pauses; the other accounts go on meanwhile.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.claims import commit_without_waiting
from accounts.jobs import SyncAccount
from accounts.models import ExchangeAccount
from controlplane.base import jobs
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, ControlPlaneError
from controlplane.kernel.ids import uuid7
from controlplane.kernel.secrets import redact
from hedging.domain.emergency import StopEvent, StopState, retry_after
from hedging.emergency import telling
from hedging.emergency.ahead import Looks, LooksAhead, look
from hedging.emergency.asking import PATIENCE_SECONDS, ask_all
from hedging.emergency.cancelling import Cancels, cancels_of, under_way
from hedging.emergency.flattening import Holder, Holdings, wave_send, wave_write
from hedging.emergency.rows import moved, rows_write, stop_follow
from hedging.models import EmergencyStop, StoppedAccount
from markets.venues.ports import ExecutionClient
from markets.venues.types import OrderReport, PositionReport
from strategies.models import OrderIntent

LEASE: Final = timedelta(seconds=15)
"""Longer than one round of questions and orders takes; a dead process's accounts wait so long."""
SOON: Final = timedelta(milliseconds=250)
GRACE: Final = timedelta(seconds=5)
"""So long an account waits for the others of its book, so that both sides are closed in step."""
DRIVE_SECONDS: Final = 20.0
"""A driver gives way after so long; the sentinel begins the next one."""
READ_AHEAD_WITHIN: Final = PATIENCE_SECONDS - 0.5
"""Seconds from the cancels on: a slow look at positions must not cost the proof of the cancels."""
LONGEST_ERROR: Final = 500


def stop_drive(*, stop_id: UUID | str, actor: Actor, seconds: float = DRIVE_SECONDS) -> bool:
    """Drive a stop until nothing is due soon or `seconds` are over; return whether it is done.

    Safe to call at any time, from several processes at once and twice for the same stop.
    """
    stop = EmergencyStop.objects.get(pk=stop_id)
    until = time.monotonic() + seconds
    while stop.state != StopState.RELEASED:
        drive = _Round(stop, actor)
        if drive.rows:
            drive.run()
        _told_overdue(stop)
        if stop_follow(stop):
            stop.refresh_from_db()
            telling.latched(stop)
        next_at = _next_due(stop)
        if next_at is None or time.monotonic() >= until:
            break
        pause = (next_at - timezone.now()).total_seconds()
        if pause > max(0.0, until - time.monotonic()):
            break
        time.sleep(max(0.01, pause))
    stop.refresh_from_db()
    return not stop.accounts.unfinished().exists()


def stops_unfinished() -> Sequence[EmergencyStop]:
    """Return the stops with an account that is NOT confirmed, or that have yet to be told done."""
    open_ = Q(accounts__state__in=["engaged", "cancelling", "flattening", "verifying"])
    found = EmergencyStop.objects.standing().filter(open_ | ~Q(state=StopState.LATCHED))
    return list(found.distinct().order_by("pk"))


def _next_due(stop: EmergencyStop) -> datetime | None:
    """Return when a row is due that nobody works on; None when there is none."""
    rows = stop.accounts.free(timezone.now()).order_by("next_try_at")
    return rows.values_list("next_try_at", flat=True).first()


def _told_overdue(stop: EmergencyStop) -> None:
    """Tell once of each account that is NOT confirmed at its deadline."""
    now = timezone.now()
    late = stop.accounts.unfinished().filter(deadline_at__lte=now, overdue_at=None)
    for row in late:
        if StoppedAccount.objects.filter(pk=row.pk, overdue_at=None).update(overdue_at=now):
            telling.overdue(stop, row)


class _Round:
    """One pass over the accounts of a stop that are due and free, leased until it ends."""

    def __init__(self, stop: EmergencyStop, actor: Actor) -> None:
        self._stop, self._actor, self._lease = stop, actor, uuid7()
        self._writes: list[tuple[StoppedAccount, dict[str, object]]] = []
        self._read: dict[str, Sequence[PositionReport]] = {}
        self._take()
        self.rows = list(
            stop.accounts.filter(lease=self._lease)
            .select_related("account__exchange", "account__risk_envelope")
            .select_related("account__proxy_session__proxy_profile")
            .order_by("account_id")
        )
        self._ahead = LooksAhead(_accounts(self.rows))

    @transaction.atomic
    def _take(self) -> None:
        """Lease what is due; a book that is being closed is taken whole."""
        commit_without_waiting()
        now = timezone.now()
        lease = {"lease": self._lease, "leased_until": now + LEASE}
        self._stop.accounts.due(now).update(**lease)
        taken = self._stop.accounts.filter(lease=self._lease, state=StopState.FLATTENING)
        if books := list(taken.order_by().values_list("book", flat=True).distinct()):
            others = self._stop.accounts.free(now).filter(book__in=books, is_answering=True)
            others.filter(state=StopState.FLATTENING).update(**lease)

    def run(self) -> None:
        """Bring every leased account as far as it goes without waiting for another."""
        try:
            self._cancel(self._at(StopState.ENGAGED, StopState.CANCELLING))
            closing = [row for row in self.rows if row.state == StopState.FLATTENING]
            self._close(self._in_step(closing))
            self._verify(self._at(StopState.VERIFYING))
        finally:
            StoppedAccount.objects.filter(lease=self._lease).update(lease=None, leased_until=None)

    def _at(self, *states: StopState) -> list[StoppedAccount]:
        now = timezone.now()
        return [row for row in self.rows if row.state in states and row.next_try_at <= now]

    # Cancel

    def _cancel(self, rows: Sequence[StoppedAccount]) -> None:
        with self._together():
            for row in rows:
                if row.state == StopState.ENGAGED:
                    self._writes.append((row, moved(row, StopEvent.BEGIN)))
        # Counted before the venue is asked: what is sent by then may reach it after it answers.
        waiting = under_way(self._stop, [row.account_id for row in rows])
        cancels: Mapping[str, Cancels] = cancels_of(self._stop, rows)

        until = time.monotonic() + READ_AHEAD_WITHIN

        async def cancel(name: str, client: ExecutionClient) -> Sequence[OrderReport]:
            listed = await cancels[name].carry_out(client)
            if not listed and self._stop.flatten:
                # Nothing is left that could trade, so this is what there is to close: read at
                # once, on the warm connection. One that fails is read when it is closed.
                with suppress(ControlPlaneError, TimeoutError):
                    async with asyncio.timeout(until - time.monotonic()):
                        self._read[name] = await client.positions()
            return listed

        answers = ask_all(_accounts(rows), cancel)
        with self._together():
            self._cancelled(rows, answers, waiting)

    def _cancelled(
        self,
        rows: Sequence[StoppedAccount],
        answers: Mapping[str, Sequence[OrderReport] | BaseException],
        waiting: Mapping[str, int],
    ) -> None:
        for row in rows:
            listed = answers[row.account_id]
            if isinstance(listed, BaseException):
                self._failed(row, listed)
            elif listed:
                self._waits(row, f"{len(listed)} orders are still listed.")
            elif count := waiting.get(row.account_id):
                self._waits(row, f"{count} orders are under way.")
            else:
                done = StopEvent.CANCELLED if self._stop.flatten else StopEvent.KEEP
                self._go(row, done, cancelled_at=timezone.now())

    # Close

    def _in_step(self, rows: Sequence[StoppedAccount]) -> list[StoppedAccount]:
        """Return the accounts whose whole book is here to be closed, or was waited for enough.

        One whose venue does not answer is waited for a moment, others until their deadline.
        """
        now, mine = timezone.now(), {row.pk for row in rows}
        others = self._stop.accounts.filter(state__in=["engaged", "cancelling", "flattening"])
        behind = {
            row.book
            for row in others.exclude(pk__in=mine)
            if now < (row.deadline_at if row.is_answering else row.blocked_at + GRACE)
        }
        with self._together():
            for row in rows:
                if row.book in behind:
                    self._later(row, SOON, "Waits for the other accounts of its book.")
        return [row for row in rows if row.book not in behind]

    def _close(self, rows: list[StoppedAccount]) -> None:
        """Send wave after wave until nothing is left or a wave brings a book no further."""
        while rows:
            accounts = _accounts(rows)
            holdings = self._held(rows, Holder(self._stop, accounts), accounts)
            rows = [row for row in rows if row.account_id in holdings]
            with self._together():
                for row in rows:
                    held = holdings[row.account_id]
                    if not held.is_to_close:
                        flat = {"flat_at": timezone.now(), "residual": held.residual}
                        self._go(row, StopEvent.FLAT, **flat)
            rows = [row for row in rows if row.state == StopState.FLATTENING]
            written = wave_write(self._stop, rows, holdings, self._actor)
            sent = wave_send(written, self._actor, answered=self._ahead.begin)
            rows = self._went_on(rows, holdings, sent)
            self._prolong()

    def _held(
        self,
        rows: Sequence[StoppedAccount],
        holder: Holder,
        accounts: Mapping[str, ExchangeAccount],
    ) -> Mapping[str, Holdings]:
        async def positions(_name: str, client: ExecutionClient) -> Sequence[PositionReport]:
            return await client.positions()

        read, self._read = self._read, {}
        unread = {name: it for name, it in accounts.items() if name not in read}
        answers = read | (ask_all(unread, positions) if unread else {})
        found = {}
        with self._together():
            for row in rows:
                reports = answers[row.account_id]
                if isinstance(reports, BaseException):
                    self._failed(row, reports)
                else:
                    row.is_answering = True
                    found[row.account_id] = holder.holdings(row.account_id, reports)
        return found

    def _went_on(
        self,
        rows: Sequence[StoppedAccount],
        holdings: Mapping[str, Holdings],
        sent: Iterable[OrderIntent],
    ) -> list[StoppedAccount]:
        """Return the accounts to go on with: of books that the wave closed some of.

        One whose orders filled whole is flat by its venue's own answers and goes on to be
        verified; the others try later.
        """
        by_account: dict[str, list[OrderIntent]] = {}
        for intent in sent:
            by_account.setdefault(intent.account_id, []).append(intent)
        closed = {
            row.book
            for row in rows
            if any(intent.filled_amount for intent in by_account.get(row.account_id, ()))
        }
        with self._together():
            for row in rows:
                held, orders = holdings[row.account_id], by_account.get(row.account_id, [])
                problem = held.problem or _refusals(orders)
                if held.is_closed_by(orders):
                    flat_at = timezone.now()
                    self._go(row, StopEvent.FLAT, flat_at=flat_at, residual=held.residual)
                elif row.book not in closed:
                    self._put_off(row, problem or "Waits for the other side of its book.")
                elif problem:
                    self._writes.append((row, {"last_error": problem}))
        return [it for it in rows if it.book in closed and it.state == StopState.FLATTENING]

    # Verify

    def _verify(self, rows: Sequence[StoppedAccount]) -> None:
        """Read orders and positions anew; only what the venue says now confirms an account."""
        accounts = _accounts(rows)
        holder, cancels = Holder(self._stop, accounts), cancels_of(self._stop, rows)
        looks = self._ahead.flat(holder, among=accounts)
        unseen = {name: it for name, it in accounts.items() if name not in looks}
        answers = looks | (ask_all(unseen, look) if unseen else {})
        with self._together():
            done = self._verified(rows, answers, holder, cancels)
            jobs.enqueue_all(SyncAccount, [{"account_id": name} for name in done])

    def _verified(
        self,
        rows: Sequence[StoppedAccount],
        answers: Looks,
        holder: Holder,
        cancels: Mapping[str, Cancels],
    ) -> list[str]:
        """Return the accounts that are confirmed."""
        done = []
        for row in rows:
            seen = answers[row.account_id]
            if isinstance(seen, BaseException):
                self._failed(row, seen)
                continue
            orders, positions = cancels[row.account_id].covered(seen[0]), seen[1]
            held = holder.holdings(row.account_id, positions)
            if orders or (self._stop.flatten and held.is_to_close):
                self._go(row, StopEvent.REOPEN)
                continue
            now = timezone.now()
            flat = {"flat_at": row.flat_at or now} if self._stop.flatten else {}
            self._go(row, StopEvent.CONFIRM, confirmed_at=now, residual=held.residual, **flat)
            done.append(row.account_id)
        return done

    # Rows

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Write what is noted of rows inside in one transaction, a statement for each kind.

        The venues wait for no disk: what a server that breaks down forgets of a stop is done again.
        """
        with transaction.atomic():
            commit_without_waiting()
            yield
            writes, self._writes = self._writes, []
            rows_write(writes)

    def _go(self, row: StoppedAccount, event: StopEvent, **changes: object) -> None:
        well = {"attempts": 0, "last_error": "", "is_answering": True}
        columns = {"next_try_at": timezone.now(), **well, **changes}
        self._writes.append((row, moved(row, event, **columns)))

    def _waits(self, row: StoppedAccount, why: str) -> None:
        row.is_answering = True
        self._later(row, SOON, why)

    def _failed(self, row: StoppedAccount, error: BaseException) -> None:
        text = error.message if isinstance(error, ControlPlaneError) else repr(error)
        code = error.code if isinstance(error, ControlPlaneError) else "no-answer"
        row.is_answering = False
        self._put_off(row, redact(f"{code}: {text}"))

    def _put_off(self, row: StoppedAccount, why: str) -> None:
        row.attempts += 1
        self._later(row, retry_after(row.attempts), why)

    def _later(self, row: StoppedAccount, wait: timedelta, why: str) -> None:
        columns = {
            "next_try_at": timezone.now() + wait,
            "last_error": why[:LONGEST_ERROR],
            "attempts": row.attempts,
            "is_answering": row.is_answering,
        }
        self._writes.append((row, columns))

    def _prolong(self) -> None:
        leased = StoppedAccount.objects.filter(lease=self._lease)
        if not leased.update(leased_until=timezone.now() + LEASE):
            raise Conflict("Another process has taken these accounts over.")


def _accounts(rows: Iterable[StoppedAccount]) -> Mapping[str, ExchangeAccount]:
    return {row.account_id: row.account for row in rows}


def _refusals(intents: Iterable[OrderIntent]) -> str:
    """Return why orders came to nothing, for people."""
    return "; ".join(f"{intent}: {intent.reason}" for intent in intents if not intent.filled_amount)
