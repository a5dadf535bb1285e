"""Stop everything in a scope, and stay until every venue has confirmed it."""

import json
import time
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, InternalError, OperationalError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict, ControlPlaneError, Denied
from hedging.domain.emergency import StopScope
from hedging.emergency.driving import stop_drive
from hedging.emergency.offline import orders_cancel
from hedging.emergency.spool import AskedStop
from hedging.emergency.telling import stop_report
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop


class Command(BaseCommand):
    requires_system_checks = ()  # nothing keeps a stop from being pulled
    help = str(
        _(
            "Stop an account, a book, a venue, a module or all: nothing that adds to a position is "
            "sent any more, orders are cancelled, positions closed on both sides in step, and the "
            "venues asked anew. Works with web and workers down. Exits 0 when every account is "
            "confirmed, 1 when one is NOT confirmed yet (the sentinel goes on), 2 on usage."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--scope", required=True, help=", ".join(StopScope))
        parser.add_argument("--target", default="", help="which; nothing with --scope all")
        parser.add_argument("--reason", default="", help="why, for the record")
        parser.add_argument("--keep-positions", action="store_true", help="only cancel orders")
        parser.add_argument("--drill", action="store_true", help="on paper venues only, to try it")
        parser.add_argument(
            "--wait", type=float, help="seconds to stay; else until the accounts' own deadline"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor(name="emergency_stop", surface=Surface.COMMAND)
        try:
            stop = stop_engage(
                scope=options["scope"],
                target=options["target"],
                reason=options["reason"],
                flatten=not options["keep_positions"],
                drill=options["drill"],
                actor=actor,
            )
        except Denied as refusal:
            raise CommandError(refusal.message, returncode=2) from None
        except Conflict as refusal:
            raise CommandError(refusal.message, returncode=1) from None
        except (OperationalError, InternalError, InterfaceError) as error:
            # Away, full, or read-only since a failover.
            self._without_database(options, error)
        self._stay(stop, actor, options["wait"])
        stop.refresh_from_db()
        report = stop_report(stop)
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            self._print(report)
        if not report["confirmed"]:
            raise CommandError(
                str(_("NOT confirmed: %(accounts)s. The sentinel goes on trying."))
                % {"accounts": ", ".join(report["notConfirmed"])},
                returncode=1,
            )

    def _without_database(self, options: dict[str, Any], error: Exception) -> NoReturn:
        """Cancel by the sentinel's file, and leave the stop for when the database is back."""
        try:
            results = orders_cancel(
                AskedStop(
                    scope=options["scope"],
                    target=options["target"],
                    reason=options["reason"].strip(),
                    flatten=not options["keep_positions"],
                    drill=options["drill"],
                )
            )
        except Denied as refusal:
            raise CommandError(refusal.message, returncode=2) from None
        except ControlPlaneError as refusal:
            raise CommandError(refusal.message, returncode=1) from error
        if options["json"]:
            self.stdout.write(json.dumps({"database": False, "accounts": results}))
        else:
            for name, problem in results.items():
                self.stdout.write(f"  {name:20} {problem or _('no orders are left')}")
        raise CommandError(
            str(
                _(
                    "The database does not answer or cannot be written. Orders were cancelled as "
                    "above; positions stay, and the stop is engaged as soon as the sentinel finds "
                    "the database again."
                )
            ),
            returncode=1,
        )

    def _stay(self, stop: EmergencyStop, actor: Actor, wait: float | None) -> None:
        """Drive the stop here until it is done or the wait is over."""
        if wait is None:
            deadlines = stop.accounts.values_list("deadline_at", flat=True)
            last = max(deadlines, default=timezone.now())
            wait = (last - timezone.now()).total_seconds()
        until = time.monotonic() + wait
        while not stop_drive(stop_id=stop.pk, actor=actor, seconds=max(0.0, _left(until))):
            if _left(until) <= 0:
                return
            time.sleep(min(0.1, _left(until)))

    def _print(self, report: dict[str, Any]) -> None:
        self.stdout.write(
            f"{report['stopId']} {report['scope']} {report['target']} {report['state']}"
        )
        for line in report["accounts"]:
            steps = " ".join(
                f"{name} {_shown(line[f'{name}Seconds'])}"
                for name in ("blocked", "cancelled", "flat", "confirmed")
            )
            verdict = _("confirmed") if line["confirmed"] else _("NOT confirmed")
            self.stdout.write(
                f"  {line['accountId']:20} {verdict}: {steps} {line['lastError']}".rstrip()
            )


def _left(until: float) -> float:
    return until - time.monotonic()


def _shown(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2f}s"
