"""Re-encrypt every stored credential with the first of FERNET_KEYS."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from controlplane.base import events, rotation
from controlplane.base.progress import Progress
from controlplane.kernel.events import EventType, Occurrence, Severity


class Command(BaseCommand):
    help = (
        "Re-encrypt every stored credential with the first of FERNET_KEYS. Put the new key first, "
        "keep the old ones behind it, restart everything, run this, then drop the old keys."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, **options: Any) -> None:
        with Progress(self.stderr, total=rotation.rows(), label=_("Rows")) as progress:
            result = rotation.rotate(on_batch=progress.show)
        events.publish(
            Occurrence(
                type=EventType.CONFIG,
                message=f"Keys rotated: {result.rotated} of {result.values} values re-encrypted.",
                severity=Severity.CRITICAL if result.unreadable else Severity.INFO,
                payload={"unreadable": result.unreadable[:100]},
            )
        )
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "keys": len(settings.FERNET_KEYS),
                        "values": result.values,
                        "rotated": result.rotated,
                        "unreadable": result.unreadable,
                    }
                )
            )
        else:
            self.stdout.write(
                _("%(rotated)d of %(values)d values were re-encrypted.")
                % {"rotated": result.rotated, "values": result.values}
            )
        if result.unreadable:
            raise CommandError(
                _("No key opens: %(rows)s. Put back the key they were stored with.")
                % {"rows": ", ".join(result.unreadable[:10])}
            )
