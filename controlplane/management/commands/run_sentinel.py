"""Sweep every book each second, whatever happens to feeds and workers."""

import json
import signal
import threading
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _

from controlplane.background import Background
from controlplane.sentinel import THREADS, URGENT_THREADS, Sentinel, StepReport


class Command(BaseCommand):
    help = str(
        _(
            "Once a second: look at every book and hedge what is out of its threshold, end hedges, "
            "resolve unknown orders, queue the syncs that are due. Runs until stopped."
        )
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do one round and exit")
        parser.add_argument("--json", action="store_true", help="print each round as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        told = self._print_json if options["json"] else self._print
        sentinel = Sentinel(
            background=Background(0 if options["once"] else THREADS),
            urgent=Background(0 if options["once"] else URGENT_THREADS),
        )
        if options["once"]:
            reports = sentinel.round()
            told(reports)
            if broken := [report.name for report in reports if report.error]:
                raise CommandError(
                    str(_("Broken: %(steps)s")) % {"steps": ", ".join(broken)}, returncode=1
                )
            return
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        if not options["json"]:
            self.stdout.write(str(_("Watching every book; Ctrl-C stops.")))
            self.stdout.flush()
        sentinel.run(stop, told=told if options["json"] else lambda reports: None)

    def _print(self, reports: list[StepReport]) -> None:
        for report in reports:
            self.stdout.write(
                f"{report.name:12} {report.done:6} {report.milliseconds:6} ms {report.error}"
            )

    def _print_json(self, reports: list[StepReport]) -> None:
        self.stdout.write(json.dumps([asdict(report) for report in reports]))
        self.stdout.flush()
