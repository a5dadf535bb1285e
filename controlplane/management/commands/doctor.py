"""Say whether everything the product needs is there and working, and what to do if not."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _

from controlplane import doctor
from controlplane.doctor import Finding, Verdict
from markets.models import Venue

SIGNS = {Verdict.OK: "ok  ", Verdict.WARN: "warn", Verdict.FAIL: "FAIL"}


class Command(BaseCommand):
    help = "Check database, schema, keys, queue, feeds, clock, venues and disk."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--venue",
            metavar="NAME",
            help="Look at this venue and its feeds, and tell what it can and cannot do.",
        )
        parser.add_argument("--offline", action="store_true", help="Ask no venue.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options: Any) -> None:
        venues = Venue.objects.all()
        if name := options["venue"]:
            venues = venues.filter(pk=name)
            self._check_known(name)
        found = doctor.guarded(
            doctor.examine(venues=venues, offline=options["offline"], in_detail=bool(name)),
            (lambda finding: None) if options["json"] else self._show,
        )
        failed = [finding.name for finding in found if finding.verdict is Verdict.FAIL]
        if options["json"]:
            findings = [asdict(finding) for finding in found]
            self.stdout.write(json.dumps({"healthy": not failed, "findings": findings}))
        if failed:
            raise CommandError(_("Not healthy: %(names)s.") % {"names": ", ".join(failed)})

    def _check_known(self, name: str) -> None:
        try:
            known = Venue.objects.filter(pk=name).exists()
        except DatabaseError:
            return  # the examination says it better
        if not known:
            raise CommandError(_("There is no venue %(name)s.") % {"name": name}, returncode=2)

    def _show(self, finding: Finding) -> None:
        self.stdout.write(f"{SIGNS[finding.verdict]}  {finding.name:<16} {finding.message}")
        if finding.advice and finding.verdict is not Verdict.OK:
            self.stdout.write(f"      → {finding.advice}")
        self.stdout.flush()
