"""Plain edits of configuration: the same steps whether a form or the API made them.

A plain edit needs no verb of its own. Whoever saves or deletes the row does it inside
`edit()`, which names the actor to the audit, and calls `announce()` afterwards, which keeps an
event and tells the parts of the program that must react (registered with `follow`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import models, transaction

from controlplane.base import audit, events
from controlplane.kernel.events import EventType, Occurrence

RowT = TypeVar("RowT", bound=models.Model)
_followers: dict[type[models.Model], list[Callable[[Any], None]]] = defaultdict(list)


def follow(model: type[RowT], follower: Callable[[RowT], None]) -> None:
    """Call `follower` with every edited row of `model`, inside the edit's transaction."""
    if follower not in _followers[model]:
        _followers[model].append(follower)


@contextmanager
def edit(action: audit.Action, *, actor: audit.Actor, reason: str = "") -> Iterator[None]:
    """Open one transaction whose changes carry the action, the actor and the reason."""
    with transaction.atomic(), audit.context(action, actor=actor, reason=reason):
        yield


def announce(
    row: models.Model, action: audit.Action, *, actor: audit.Actor, reason: str = ""
) -> None:
    """Keep an event of the edit and tell its followers; call it inside `edit()`."""
    name = str(row._meta.verbose_name)
    events.publish(
        Occurrence(
            type=EventType.CONFIG,
            message=f"{name} {row} {action.code} by {actor.name}",
            account_id=getattr(row, "account_id", None),
            module_id=getattr(row, "module_id", None),
            payload={
                "entity": row._meta.label,
                "key": str(row.pk),
                "action": action.code,
                "actor": actor.name,
                "surface": str(actor.surface),
                "reason": reason,
            },
        )
    )
    for follower in _followers[type(row)]:
        follower(row)
