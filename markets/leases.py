"""Leases of streams: several processes on several hosts share them, and each has one holder.

Time is the database's clock, so hosts need not agree on theirs. Each change of hands raises the
stream's fence: what a former holder still wants to write carries an older one and is left out.
"""

import os
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from controlplane.base.clock import database_now
from controlplane.base.models import Entity
from controlplane.base.rows import rows_set
from markets.domain.leasing import Allotment, Claim, allot

LEASE: Final = timedelta(seconds=3)
"""How long a stream stays with a holder that says nothing; streams are looked after each 0.8 s, so
another has them within four seconds."""
FORGOTTEN: Final = timedelta(minutes=5)
"""After this a holder that is gone is not shown any more."""


class StreamHolder(Entity):
    """A process that takes its share of one kind of stream."""

    holder_id = models.CharField(_("holder"), primary_key=True, max_length=160)
    kind = models.CharField(_("kind"), max_length=20)
    expires_at = models.DateTimeField(_("expires at"))

    class Meta:
        verbose_name = _("stream holder")
        verbose_name_plural = _("stream holders")

    def __str__(self) -> str:
        return self.holder_id


class StreamLease(Entity):
    """Who holds a stream, by the database's clock; `lease_id` is `kind/key`, nobody is ""."""

    lease_id = models.CharField(_("stream"), primary_key=True, max_length=100)
    kind = models.CharField(_("kind"), max_length=20)
    holder = models.CharField(_("holder"), max_length=140, blank=True, default="")
    fence = models.PositiveBigIntegerField(_("fence"), default=0)
    expires_at = models.DateTimeField(_("expires at"))

    class Meta:
        verbose_name = _("stream lease")
        verbose_name_plural = _("stream leases")

    def __str__(self) -> str:
        return self.lease_id

    @property
    def key(self) -> str:
        """The feed's or the account's key."""
        return self.lease_id.split("/", 1)[1]


@dataclass(frozen=True, slots=True)
class Share:
    """What a holder holds now, each stream with its fence, and what it is to give away."""

    fences: Mapping[str, int]
    give: Collection[str]


def holder_name() -> str:
    """Return a name for this process: never another's, and a person can find it."""
    return f"{socket.gethostname()[:80]}-{os.getpid()}-{uuid4().hex[:8]}"


@transaction.atomic
def leases_keep(*, holder: str, kind: str, wanted: Collection[str], is_sharing: bool) -> Share:
    """Renew what `holder` holds of `wanted` and take what is free, up to its share.

    One that is not sharing takes all that is free and does not count as a holder. What is to be
    given away stays held until `leases_release`.
    """
    ids = {key: f"{kind}/{key}" for key in sorted(wanted)}
    now = database_now()
    StreamLease.objects.bulk_create(
        [StreamLease(lease_id=ids[key], kind=kind, expires_at=now) for key in ids],
        ignore_conflicts=True,
    )
    holders = _holders(holder, kind, now) if is_sharing else 1
    rows = list(
        StreamLease.objects.filter(pk__in=ids.values())
        .order_by("pk")
        .select_for_update(no_key=True)
    )
    now = database_now()  # the locks may have taken their time
    claims = [Claim(row.key, row.holder, row.expires_at > now) for row in rows]
    due = allot(claims, holder=holder, holders=holders)
    held = _write(rows, due, holder, now)
    return Share({row.key: row.fence for row in held}, due.give)


def _write(
    rows: Collection[StreamLease], due: Allotment, holder: str, now: datetime
) -> list[StreamLease]:
    due_here = {*due.keep, *due.take, *due.give}
    held = [row for row in rows if row.key in due_here]
    rows_set([(row, _renewed(row, holder, now)) for row in held], standing=())
    return held


def _renewed(row: StreamLease, holder: str, now: datetime) -> Mapping[str, Any]:
    fence = row.fence if row.holder == holder else row.fence + 1
    return {"holder": holder, "fence": fence, "expires_at": now + LEASE}


def _holders(holder: str, kind: str, now: datetime) -> int:
    """Say that this holder lives; return how many do."""
    StreamHolder.objects.update_or_create(
        holder_id=f"{kind}/{holder}", defaults={"kind": kind, "expires_at": now + LEASE}
    )
    StreamHolder.objects.filter(expires_at__lt=now - FORGOTTEN).delete()
    return StreamHolder.objects.filter(kind=kind, expires_at__gt=now).count()


@transaction.atomic
def leases_release(*, holder: str, kind: str, keys: Collection[str] | None = None) -> None:
    """Let others have these streams now; without `keys` all of the kind, and the holder leaves."""
    leases = StreamLease.objects.filter(kind=kind, holder=holder)
    if keys is None:
        StreamHolder.objects.filter(pk=f"{kind}/{holder}").delete()
    else:
        leases = leases.filter(pk__in=[f"{kind}/{key}" for key in keys])
    locked = list(leases.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    StreamLease.objects.filter(pk__in=locked).update(holder="", expires_at=database_now())


def still_held(*, holder: str, kind: str, fences: Mapping[str, int]) -> set[str]:
    """Return which of these streams are still this holder's, for as long as the transaction lasts.

    Nobody takes one meanwhile: its row is locked.
    """
    rows = (
        StreamLease.objects.filter(pk__in=[f"{kind}/{key}" for key in fences], holder=holder)
        .order_by("pk")
        .select_for_update(no_key=True)
    )
    return {row.key for row in rows if row.fence == fences[row.key]}
