"""Say whether everything the product needs is there and working, and what to do if not."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from controlplane import doctor
from controlplane.doctor import Finding, Verdict
from markets.models import Venue
from markets.venues.generic.names import venue_problem

SIGNS = {Verdict.OK: "ok  ", Verdict.WARN: "warn", Verdict.FAIL: "FAIL"}


class Command(BaseCommand):
    help = "Check database, schema, keys, queue, feeds, clock, venues and disk."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--venue",
            metavar="NAME",
            help="Look at this venue and its feeds, and tell what it can and cannot do; "
            "a venue that is not set up is named as in ccxt.",
        )
        parser.add_argument("--offline", action="store_true", help="Ask no venue.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options: Any) -> None:
        found = doctor.guarded(
            self._steps(options["venue"], offline=options["offline"]),
            (lambda finding: None) if options["json"] else self._show,
        )
        failed = [finding.name for finding in found if finding.verdict is Verdict.FAIL]
        if options["json"]:
            findings = [asdict(finding) for finding in found]
            self.stdout.write(json.dumps({"healthy": not failed, "findings": findings}))
        if failed:
            raise CommandError(_("Not healthy: %(names)s.") % {"names": ", ".join(failed)})

    def _steps(self, name: str | None, *, offline: bool) -> Iterator[Finding]:
        venues = Venue.objects.all()
        if name is None:
            return doctor.examine(venues=venues, offline=offline)
        venues = venues.filter(pk=name)
        if self._is_set_up(venues):
            return doctor.examine(venues=venues, offline=offline, in_detail=True)
        if problem := venue_problem(name):
            told = _("There is no venue %(name)s. %(problem)s")
            raise CommandError(told % {"name": name, "problem": problem}, returncode=2)
        return doctor.newcomer(name)

    def _is_set_up(self, venues: QuerySet[Venue]) -> bool:
        try:
            return venues.exists()
        except DatabaseError:
            return True  # the examination says it better

    def _show(self, finding: Finding) -> None:
        self.stdout.write(f"{SIGNS[finding.verdict]}  {finding.name:<16} {finding.message}")
        if finding.advice and finding.verdict is not Verdict.OK:
            self.stdout.write(f"      → {finding.advice}")
        self.stdout.flush()
