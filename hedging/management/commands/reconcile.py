"""Reconcile accounts with their venues now, and show what differs."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.domain.arming import is_armed
from accounts.models import ExchangeAccount
from accounts.selectors import reconciled_of
from accounts.services import account_sync
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import ControlPlaneError
from hedging.models import ReconciliationBreak
from strategies.closing import close_confirm
from strategies.models import OrderIntent

ACTOR = Actor(name="reconcile", surface=Surface.COMMAND)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an account stands: what could not be read, and what differs."""

    account_id: str
    is_armed: bool
    error: str
    breaks: Sequence[ReconciliationBreak]

    @property
    def is_good(self) -> bool:
        return self.is_armed and not self.error and not self.breaks

    def wire(self) -> dict[str, Any]:
        return {
            "accountId": self.account_id,
            "mayTrade": self.is_armed,
            "error": self.error,
            "breaks": [
                {
                    "breakId": str(row.pk),
                    "kind": row.kind,
                    "subject": row.subject,
                    "severity": row.severity,
                    "openedAt": row.opened_at.isoformat(),
                    "details": row.details,
                }
                for row in self.breaks
            ],
        }


class Command(BaseCommand):
    help = str(
        _(
            "Read the named accounts (all when none is named) and compare them with our record. "
            "Exits 0 when all agree, 1 when something differs or could not be read, 2 on usage."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT", help="account to reconcile")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--close",
            metavar="INTENT",
            help="always refused: an unknown order is closed by two people, in admin or API",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["close"]:
            _refuse_close(options["close"])
        outcomes = [_reconcile(account) for account in _chosen(options["accounts"])]
        if options["json"]:
            self.stdout.write(json.dumps({"accounts": [item.wire() for item in outcomes]}))
        else:
            for outcome in outcomes:
                self._print(outcome)
        if not all(outcome.is_good for outcome in outcomes):
            raise CommandError(str(_("Not everything agrees.")), returncode=1)

    def _print(self, outcome: Outcome) -> None:
        may = _("may trade") if outcome.is_armed else _("may not open anything")
        self.stdout.write(f"{outcome.account_id}: {may} {outcome.error}".rstrip())
        for row in outcome.breaks:
            self.stdout.write(
                f"  {row.severity} {row.kind} {row.subject}: {json.dumps(row.details)}"
            )


def _chosen(names: Sequence[str]) -> list[ExchangeAccount]:
    accounts = ExchangeAccount.objects.for_sync().order_by("pk")
    if not names:
        return list(accounts.syncable())
    found = list(accounts.filter(pk__in=names))
    if unknown := sorted(set(names) - {account.pk for account in found}):
        raise CommandError(
            str(_("There is no account %(names)s.")) % {"names": ", ".join(unknown)}, returncode=2
        )
    return found


def _reconcile(account: ExchangeAccount) -> Outcome:
    job = account_sync(account=account, actor=ACTOR, thorough=True)
    return Outcome(
        account.pk,
        is_armed(reconciled_of(account), now=timezone.now()),
        "" if job is None else job.error.replace("\n", "; "),
        list(ReconciliationBreak.objects.open().filter(account=account).order_by("break_id")),
    )


def _refuse_close(name: str) -> None:
    try:
        intent = OrderIntent.objects.get(pk=UUID(name))
        close_confirm(intent=intent, actor=ACTOR, reason="asked for by command")
    except (ValueError, OrderIntent.DoesNotExist):
        raise CommandError(
            str(_("There is no order %(name)s.")) % {"name": name}, returncode=2
        ) from None
    except ControlPlaneError as refusal:
        raise CommandError(refusal.message, returncode=2) from None
