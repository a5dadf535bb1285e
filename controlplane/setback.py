"""Notice a record that was set back, and let nothing be opened on it until a person has looked.

A backup put back, or a replica that lagged before it took over, lacks the last orders, stops and
limits. So the sentinel counts in the database and keeps the count in a file (`record.mark` beside
the other local data): where the database says less than the file it has been set back.
"""

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.choices import AccountStatus
from accounts.lifecycle import account_pause
from accounts.models import ExchangeAccount
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity
from monitoring.models import RecordMark
from strategies import services as strategies
from strategies.models import OrderIntent

logger = logging.getLogger(__name__)

FILE: Final = "record.mark"


@dataclass(frozen=True, slots=True)
class Mark:
    """Which record, and how far it had come."""

    record_id: UUID
    number: int


def record_watch(*, actor: Actor) -> bool:
    """Count on, and return whether the record was found set back; then every account is paused.

    A record that is not the one we knew, such as a new database, is taken as it is.
    """
    kept = _kept()
    with transaction.atomic():
        with connection.cursor() as cursor:  # what is in the file must never be lost here
            cursor.execute("SET LOCAL synchronous_commit = on")
        row = RecordMark.objects.select_for_update().first() or RecordMark.objects.create()
        is_behind = kept is not None and kept.record_id == row.pk and row.number < kept.number
        if is_behind and kept is not None:
            _hold(lost=kept.number - row.number, actor=actor)
            row.number = kept.number
        row.number += 1
        row.save(update_fields=["number"])
    _keep(Mark(row.pk, row.number))
    return is_behind


def _hold(*, lost: int, actor: Actor) -> None:
    """Pause every account that trades, and withdraw what waits to be sent: it may have been."""
    reason = _("the record was set back: orders, stops and limits may be missing")
    for account in ExchangeAccount.objects.filter(status=str(AccountStatus.ACTIVE)).order_by("pk"):
        with suppress(Conflict):
            account_pause(account=account, actor=actor, reason=reason)
    for intent in OrderIntent.objects.filter(state="pending").order_by("pk"):
        with suppress(Conflict):
            strategies.intent_withdraw(intent=intent, reason=reason, actor=actor)
    events.publish(
        Occurrence(
            type=EventType.SYSTEM,
            severity=Severity.CRITICAL,
            message=_(
                "The record was set back, as by a backup put back. All accounts are paused: look "
                "at stops, limits and positions, then resume them."
            ),
            payload={"code": "record_set_back", "lost": lost},
        )
    )


def _path() -> Path:
    return Path(settings.VAR_DIR) / FILE


def _kept() -> Mark | None:
    """Return what the file says, None without one that can be read."""
    try:
        said: Mapping[str, str] = json.loads(_path().read_text())
        return Mark(UUID(said["record"]), int(said["number"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read: %s", _path(), type(error).__name__)
        return None


def _keep(mark: Mark) -> None:
    _path().parent.mkdir(parents=True, exist_ok=True)
    draft = _path().with_name(f"{FILE}.{os.getpid()}")
    draft.write_text(json.dumps({"record": str(mark.record_id), "number": mark.number}))
    draft.replace(_path())
