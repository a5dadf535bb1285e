"""Measure one of the product's figures against its goals."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _

from controlplane.benchmarks import BENCHMARKS, OPTIONS
from controlplane.benchmarks.report import BenchmarkFailed, Report

MOST: Final = 2_000
LONGEST: Final = 240
EXTRAS: Final = ("feeds", "minutes", "capture", "peer_python")


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
        parser.add_argument("--feeds", type=int, help="feed-soak: how many feeds (200)")
        parser.add_argument(
            "--minutes", type=float, help="feed-soak, feed-flood: for how long (3, 1)"
        )
        parser.add_argument("--capture", type=Path, help="feed-burst: the recorded market to play")
        parser.add_argument(
            "--peer-python",
            type=Path,
            help="feed-ingest: the python of an environment that has cryptofeed and uvloop",
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
            report = benchmark(
                count=options["count"], say=self.stderr.write, **_told(options["name"], options)
            )
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


def _told(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said to this benchmark besides; raises CommandError for what it has not."""
    said = {key: options[key] for key in EXTRAS if options[key] is not None}
    known = OPTIONS.get(name, ())
    if strange := sorted(said.keys() - set(known)):
        raise CommandError(
            str(_("%(name)s has no option %(options)s."))
            % {"name": name, "options": ", ".join(f"--{key}" for key in strange)},
            returncode=2,
        )
    is_odd = not 1 <= said.get("feeds", 1) <= MOST or not 0 < said.get("minutes", 1) <= LONGEST
    wanted = [said.get("capture")] if "capture" in known else []
    is_missing = not all(
        path and path.is_file() for path in [*wanted, said.get("peer_python", Path(__file__))]
    )
    if is_odd or is_missing:
        raise CommandError(
            str(_("Give 1 to %(feeds)d feeds, at most %(minutes)d minutes, files that exist."))
            % {"feeds": MOST, "minutes": LONGEST},
            returncode=2,
        )
    return said
