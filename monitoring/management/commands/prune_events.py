"""Make the event partitions of the coming days and drop those past keeping."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from controlplane.kernel.errors import Denied
from monitoring import partitions
from monitoring.domain.retention import MIN_KEPT_DAYS


class Command(BaseCommand):
    help = "Drop monitoring events older than --days (90 or more) and prepare the coming days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=MIN_KEPT_DAYS, help="days to keep")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        today = timezone.now().date()
        try:
            dropped = partitions.drop(today=today, kept_days=options["days"])
        except Denied as denial:
            raise CommandError(denial.message, returncode=2) from denial
        made = partitions.ensure(today=today)
        if options["json"]:
            self.stdout.write(
                json.dumps({"dropped": [*map(str, dropped)], "made": [*map(str, made)]})
            )
        else:
            self.stdout.write(f"Dropped {len(dropped)} days, made {len(made)} days.")
