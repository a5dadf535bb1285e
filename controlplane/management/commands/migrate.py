"""Migrate as Django does, but never make orders wait for more than two seconds.

A change of a table waits for whoever uses it, and everybody else waits behind the change. So it
waits for two seconds, lets the others through, and tries again; what was migrated stays so.
"""

import time
from typing import Any, Final

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from django.utils.translation import gettext as _

from controlplane.base.attempts import is_undone

LOCK_SECONDS: Final = 2
TIMES: Final = 10
PAUSE_SECONDS: Final = 1.0


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        try:
            self._attempt(*args, **options)
        finally:
            if connection.connection is not None:
                with connection.cursor() as cursor:
                    cursor.execute("RESET lock_timeout")

    def _attempt(self, *args: Any, **options: Any) -> None:
        for left in reversed(range(TIMES)):
            try:
                super().handle(*args, **options)
            except OperationalError as error:
                if not is_undone(error):
                    raise
                if not left:
                    raise CommandError(
                        _("A table is in use all the time; nothing more was changed. Try again.")
                    ) from error
                self.stderr.write(
                    _("A table is in use; trying again in %(s)d s.") % {"s": PAUSE_SECONDS}
                )
                time.sleep(PAUSE_SECONDS)
            else:
                return
