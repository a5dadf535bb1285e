"""What this process holds of the streams, and the proof of it that goes with each write."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Final

from channels.db import database_sync_to_async

from controlplane.kernel.clock import Clock
from markets import leases

logger = logging.getLogger(__name__)

RELEASE_SECONDS: Final = 3.0
"""How long giving back may take at the end: leases run out by themselves."""


class Holding:
    """One process's leases. `is_sharing`: it takes its share, else all that is free."""

    def __init__(self, clock: Clock, *, is_sharing: bool = True) -> None:
        self.holder = leases.holder_name()
        self._clock = clock
        self._is_sharing = is_sharing
        self._fences: dict[str, Mapping[str, int]] = {}
        self._kept_at: dict[str, float] = {}

    def fences(self, kind: str) -> Mapping[str, int]:
        """Return the streams of a kind held here, each with its fence."""
        return self._fences.get(kind, {})

    async def keep(self, kind: str, wanted: Collection[str]) -> leases.Share:
        """Renew and take what this process is to hold; raises django.db.Error."""
        asked = self._clock.monotonic()
        share = await database_sync_to_async(leases.leases_keep)(
            holder=self.holder, kind=kind, wanted=wanted, is_sharing=self._is_sharing
        )
        if lost := sorted(self.fences(kind).keys() - share.fences.keys() & set(wanted)):
            logger.warning("Others hold these now: %s %s.", kind, ", ".join(lost)[:300])
        self._fences[kind], self._kept_at[kind] = share.fences, asked
        return share

    def has_lapsed(self, kind: str) -> bool:
        """Tell whether others may hold by now what was held here, for want of a renewal."""
        kept_at = self._kept_at.get(kind)
        return (
            kept_at is not None and self._clock.monotonic() - kept_at > leases.LEASE.total_seconds()
        )

    async def release(self, kind: str, keys: Collection[str]) -> None:
        """Let others have streams that were ended here; raises django.db.Error."""
        self._fences[kind] = {
            key: fence for key, fence in self.fences(kind).items() if key not in keys
        }
        await database_sync_to_async(leases.leases_release)(
            holder=self.holder, kind=kind, keys=keys
        )

    async def leave(self) -> None:
        """Let others have everything, at the end of this process."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                for kind in self._fences:
                    await database_sync_to_async(leases.leases_release)(
                        holder=self.holder, kind=kind
                    )
        except Exception as error:
            logger.warning("Leases run out by themselves (%s).", type(error).__name__)
        self._fences.clear()
