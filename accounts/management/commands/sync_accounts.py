"""Sync accounts now, in this process."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils.translation import gettext as _

from accounts.choices import SyncStatus
from accounts.models import ExchangeAccount
from accounts.services import account_sync
from controlplane.base.audit import Actor, Surface

AT_ONCE: Final = 8
BUSY: Final = "busy"
"""Another sync of the account was under way; it does the work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the sync of one account ended. Counts are None where they are unknown."""

    account_id: str
    status: str
    duration_ms: int | None = None
    positions: int | None = None
    open_orders: int | None = None
    new_fills: int | None = None
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status in (SyncStatus.SUCCESS, BUSY)


class Command(BaseCommand):
    help = "Sync the named accounts (all when none is named) and show what came of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT", help="account to sync")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = _chosen(options["accounts"])
        outcomes = sorted(self._counted(accounts), key=lambda outcome: outcome.account_id)
        if options["json"]:
            self.stdout.write(json.dumps({"accounts": [*map(_wire, outcomes)]}))
        else:
            self.stdout.write("\n".join(_table(outcomes)))
        if not all(outcome.is_good for outcome in outcomes):
            sys.exit(1)

    def _counted(self, accounts: Sequence[ExchangeAccount]) -> Iterator[Outcome]:
        """Pass the outcomes on as they come; on a terminal show how far it is."""
        shown = sys.stderr.isatty()
        for done, outcome in enumerate(_synced(accounts), start=1):
            if shown:
                bar = "█" * (20 * done // len(accounts))
                self.stderr.write(f"\r{bar:<20} {done}/{len(accounts)}", ending="")
            yield outcome
        if shown and accounts:
            self.stderr.write("")


def _chosen(names: Sequence[str]) -> list[ExchangeAccount]:
    accounts = ExchangeAccount.objects.for_sync()
    if not names:
        return list(accounts.syncable())
    found = list(accounts.filter(pk__in=names))
    if unknown := sorted(set(names) - {account.pk for account in found}):
        raise CommandError(
            _("There is no account %(names)s.") % {"names": ", ".join(unknown)}, returncode=2
        )
    return found


def _synced(accounts: Sequence[ExchangeAccount]) -> Iterator[Outcome]:
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for future in as_completed([pool.submit(_sync, account) for account in accounts]):
            yield future.result()


def _sync(account: ExchangeAccount) -> Outcome:
    with closing(connection):  # this thread's own
        job = account_sync(
            account=account, actor=Actor(name="sync_accounts", surface=Surface.COMMAND)
        )
    if job is None:
        return Outcome(account.pk, BUSY)
    return Outcome(
        account.pk,
        str(job.status),
        job.duration_ms,
        job.positions_seen,
        job.open_orders_seen,
        job.fills_added,
        job.error,
    )


def _wire(outcome: Outcome) -> dict[str, Any]:
    names = {
        "account_id": "accountId",
        "duration_ms": "durationMs",
        "open_orders": "openOrders",
        "new_fills": "newFills",
    }
    return {names.get(name, name): value for name, value in asdict(outcome).items()}


def _table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    row = "{:<28} {:<8} {:>6} {:>9} {:>6} {:>6}  {}"
    yield row.format(
        _("account"), _("status"), "ms", _("positions"), _("orders"), _("fills"), _("error")
    ).rstrip()
    for outcome in outcomes:
        known = (
            outcome.duration_ms,
            outcome.positions,
            outcome.open_orders,
            outcome.new_fills,
        )
        counts = ("?" if count is None else count for count in known)
        yield row.format(
            outcome.account_id, outcome.status, *counts, outcome.error.replace("\n", "; ")
        ).rstrip()
