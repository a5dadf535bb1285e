"""Measure one of the product's figures against its goals."""

import json
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _

from controlplane.benchmarks import BENCHMARKS
from controlplane.benchmarks.report import BenchmarkFailed, Report

MOST: Final = 2_000


class Command(BaseCommand):
    requires_system_checks = ()  # what is measured has a database of its own
    help = str(
        _(
            "Measure on paper venues, in processes and a database made for it. Exits 1 when a "
            "goal is missed, 2 on usage."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help=", ".join(sorted(BENCHMARKS)))
        parser.add_argument(
            "--count", type=int, default=200, help=f"how many to measure, at most {MOST}"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        benchmark = BENCHMARKS.get(options["name"])
        if benchmark is None or not 1 <= options["count"] <= MOST:
            raise CommandError(
                str(_("Choose one of %(names)s, and a count from 1 to %(most)d."))
                % {"names": ", ".join(sorted(BENCHMARKS)), "most": MOST},
                returncode=2,
            )
        try:
            report = benchmark(count=options["count"], say=self.stderr.write)
        except BenchmarkFailed as problem:
            raise CommandError(
                str(_("Nothing could be measured: %(problem)s")) % {"problem": problem}
            ) from None
        self._print(report, as_json=options["json"])
        if not report.is_met:
            raise CommandError(str(_("A goal was missed.")), returncode=1)

    def _print(self, report: Report, *, as_json: bool) -> None:
        document = report.document()
        if as_json:
            self.stdout.write(json.dumps(document))
            return
        for name, figure in document["figures"].items():
            self.stdout.write(f"{name:16} {figure['value']:>10} {figure['unit']}")
        for goal in document["goals"]:
            met = _("met") if goal["met"] else _("missed")
            self.stdout.write(f"{goal['figure']:16} ≤ {goal['limit']:>8} {met}")
