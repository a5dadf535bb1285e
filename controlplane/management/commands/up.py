"""Run everything: web, feeds, sentinel and the worker clusters, under one supervisor."""

import json
from functools import partial
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from controlplane.base import jobs
from controlplane.base.arguments import port
from controlplane.health import pending_migrations
from controlplane.supervision import programs
from controlplane.supervision.supervisor import Supervisor


class Command(BaseCommand):
    help = "Run web, feeds, sentinel and workers together until interrupted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to serve on.")
        parser.add_argument("--port", type=port, default=8000, help="Port; 0 takes a free one.")
        parser.add_argument("--no-migrate", action="store_true", help="Leave the schema alone.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object when up.")

    def handle(self, **options: Any) -> None:
        host = options["host"]
        try:
            port = programs.free_port(host, options["port"])
        except OSError as error:
            raise CommandError(
                _("%(host)s:%(port)s cannot be served on: %(error)s. Choose another --port.")
                % {"host": host, "port": options["port"], "error": error}
            ) from error
        if not options["no_migrate"] and pending_migrations():
            call_command("migrate", interactive=False, verbosity=0)
        jobs.schedules_upsert()
        code = programs.run(
            host=host,
            port=port,
            announce=partial(self._announce, programs.address(host, port), options["json"]),
        )
        if code:
            raise CommandError(_("A program failed."), returncode=code)

    def _announce(self, address: str, as_json: bool, supervisor: Supervisor) -> None:
        if as_json:
            pids = {name: one.pid for name, one in supervisor.running.items()}
            self.stdout.write(json.dumps({"address": address, "pids": pids}))
        else:
            self.stdout.write(_("Running at %(address)s (Ctrl-C ends it).") % {"address": address})
        self.stdout.flush()
