"""Release an emergency stop after a fresh look at its accounts."""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _

from accounts.services import account_sync
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict, Denied
from hedging.emergency.telling import stop_report
from hedging.emergency.verbs import stop_release
from hedging.models import EmergencyStop


class Command(BaseCommand):
    help = str(
        _(
            "Reconcile the accounts of an emergency stop now and let them trade as before. Exits 0 "
            "when they may, 1 when one is NOT confirmed or does not agree with its venue, 2 on "
            "usage."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("stop", nargs="?", help="the stop's id; none is needed if one stands")
        parser.add_argument("--account", action="append", help="only this account; repeatable")
        parser.add_argument("--reason", default="", help="why, for the record")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = self._stop(options["stop"])
        if not options["reason"].strip():
            raise CommandError(str(_("Say why with --reason.")), returncode=2)
        actor = Actor(name="rearm", surface=Surface.COMMAND)
        rows = stop.accounts.standing().select_related("account")
        for row in rows.filter(account__in=options["account"]) if options["account"] else rows:
            account_sync(account=row.account, actor=actor)
        try:
            stop = stop_release(
                stop=stop, actor=actor, reason=options["reason"], account_ids=options["account"]
            )
        except Denied as refusal:
            raise CommandError(refusal.message, returncode=2) from None
        except Conflict as refusal:
            raise CommandError(refusal.message, returncode=1) from None
        if options["json"]:
            self.stdout.write(json.dumps(stop_report(stop)))
        else:
            self.stdout.write(
                str(_("%(stop)s is %(state)s.") % {"stop": stop, "state": stop.state})
            )

    def _stop(self, given: str | None) -> EmergencyStop:
        standing = EmergencyStop.objects.standing()
        if given is not None:
            try:
                standing = EmergencyStop.objects.filter(pk=UUID(given))
            except ValueError:
                standing = standing.none()
        found = list(standing[:2])
        if len(found) != 1:
            raise CommandError(
                str(_("Name one stop: %(stops)s"))
                % {"stops": ", ".join(f"{it.pk} ({it})" for it in found) or "–"},
                returncode=2,
            )
        return found[0]
