"""The sentinel's watch over emergency stops: each is driven until every venue has confirmed."""

import logging
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final

from django.utils import timezone

from accounts.models import ExchangeAccount
from accounts.services import account_sync
from controlplane.background import Background
from controlplane.base.audit import Actor
from controlplane.kernel.errors import ControlPlaneError
from hedging.emergency.driving import DRIVE_SECONDS, stop_drive, stops_unfinished
from hedging.emergency.latched import latched_due, latched_reopen
from hedging.emergency.losses import LossWatch
from hedging.emergency.rules import RuleWatch
from hedging.emergency.spool import asked_done, asked_read, routes_write
from hedging.emergency.timers import TimerWatch
from hedging.emergency.verbs import stop_engage, stops_widen

logger = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""Drivers of one stop at a time: accounts that answer do not wait for those that do not."""
SPOOL_SECONDS: Final = 60.0
"""How old the routes on disk may be."""
ONCE_SECONDS: Final = 2.0
"""How long a single round, without threads, drives."""


@dataclass(slots=True)
class Emergencies:
    """Needs no worker and remembers nothing: all it goes by is in the database."""

    actor: Actor
    background: Background
    _losses: LossWatch = field(init=False)
    _rules: RuleWatch = field(init=False)
    _timers: TimerWatch = field(default_factory=TimerWatch)
    _spooled_at: float = field(default=-SPOOL_SECONDS)

    def __post_init__(self) -> None:
        self._losses = LossWatch(self.actor)
        self._rules = RuleWatch(self.actor)

    def losses(self) -> int:
        """Hold accounts to their loss limits; those in doubt are read anew at once."""
        acted = self._losses.look()
        self._read_anew(self._losses.doubted, unread=self._losses.unread)
        return acted

    def rules(self) -> int:
        """Hold accounts to the stop rules; those in doubt are read anew at once."""
        acted = self._rules.look()
        self._read_anew(self._rules.doubted)
        return acted

    def _read_anew(self, names: Collection[str], *, unread: Collection[str] = ()) -> None:
        """Read accounts now; of the `unread` their transfers too, which may explain a fall."""
        doubted = ExchangeAccount.objects.syncable().for_sync().filter(pk__in=names)
        for account in doubted if names else ():
            asks = account.pk in unread
            look = partial(account_sync, account=account, actor=self.actor, asks_transfers=asks)
            self.background.start(("doubted", account.pk), look)

    def timers(self) -> int:
        """Keep the venues' dead-man timers running where orders rest."""
        return self.background.start("timers", self._timers.look)

    def _spool(self) -> None:
        """Engage what was asked for while the database was away, and keep the routes fresh."""
        asked = asked_read()
        if asked is not None:
            try:
                stop_engage(**asdict(asked), actor=self.actor)
            except ControlPlaneError as refusal:
                logger.error("The stop kept on disk is refused: %s", refusal.message)
            asked_done()
        if time.monotonic() - self._spooled_at >= SPOOL_SECONDS:
            self._spooled_at = time.monotonic()
            routes_write()

    def watch(self) -> int:
        """Take in accounts that have come into a stop's scope, and drive what is unfinished.

        Those that are confirmed are read on: what comes back there is closed again.
        """
        self._spool()
        begun = stops_widen(actor=self.actor) + latched_reopen()
        for account in latched_due(timezone.now()):
            look = partial(account_sync, account=account, actor=self.actor)
            self.background.start(("latched", account.pk), look)
        seconds = DRIVE_SECONDS if self.background.has_threads else ONCE_SECONDS
        for stop in stops_unfinished():
            drive = partial(stop_drive, stop_id=stop.pk, actor=self.actor, seconds=seconds)
            begun += any(
                self.background.start(("stop", stop.pk, place), drive) for place in range(AT_ONCE)
            )
        return begun
