"""The sentinel's look at this machine's own clock: one that is off the database's is told of."""

import socket
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _

from controlplane.base import events
from controlplane.base.agreed_time import clock_look
from controlplane.kernel.clock import AGREED_CLOCK
from controlplane.kernel.events import EventType, Occurrence, Severity

FAILING_MS: Final = 2000
"""As of a venue's clock: from here on nothing is opened, for our own is what signatures go by."""


@dataclass(slots=True)
class ClockWatch:
    """Goes on by the database's clock; tells once when this machine's is apart, and its return."""

    _is_told: bool = False

    def look(self) -> int:
        """Read the database's clock if it is time to; return whether something was told."""
        clock_look()
        ahead_ms = AGREED_CLOCK.ahead_ms
        if bool(ahead_ms) == self._is_told:
            return 0
        self._is_told = bool(ahead_ms)
        events.publish(_news(ahead_ms))
        return 1


def _news(ahead_ms: int) -> Occurrence:
    host = socket.gethostname()
    if ahead_ms:
        text = _("The clock of %(host)s is %(ms)+d ms off the database's, which goes: set it.")
        severity = Severity.CRITICAL if abs(ahead_ms) > FAILING_MS else Severity.WARN
    else:
        text = _("The clock of %(host)s agrees with the database's again.")
        severity = Severity.INFO
    return Occurrence(
        type=EventType.SYSTEM,
        severity=severity,
        message=text % {"host": host, "ms": ahead_ms},
        payload={"code": "clock_off", "host": host, "aheadMs": ahead_ms},
    )
