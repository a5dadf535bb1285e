"""Who changed what, through which door, and why.

Two layers. Database triggers (django-pghistory) write every change of a tracked model, whoever
makes it, as append-only rows; `context()` gives those rows the actor, the surface, the reason
and the registered action. A change without a context was made outside the product (raw SQL).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _

from controlplane.kernel.ids import uuid7

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise

ModelT = TypeVar("ModelT", bound=type[models.Model])


class Surface(StrEnum):
    """The door a change came through."""

    ADMIN = "admin"
    API = "api"
    JOB = "job"
    COMMAND = "command"
    FEED = "feed"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `name` is a user name, or the program's part for machines."""

    name: str
    surface: Surface
    user_id: int | None = None
    request_id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Action:
    """A registered kind of change, such as `account.paused`."""

    code: str
    label: "StrOrPromise"


_actions: dict[str, Action] = {}


def register(code: str, *, label: "StrOrPromise") -> Action:
    """Register an action code; raises ValueError when it is taken."""
    if code in _actions:
        raise ValueError(f"The action {code} is registered twice.")
    _actions[code] = Action(code, label)
    return _actions[code]


def action(code: str) -> Action | None:
    """Return the registered action, or None for a code nobody registered."""
    return _actions.get(code)


CREATED = register("created", label=_("Created"))
CHANGED = register("changed", label=_("Changed"))
DELETED = register("deleted", label=_("Deleted"))


def track(*, exclude: tuple[str, ...] = ()) -> Callable[[ModelT], ModelT]:
    """Keep every insert, update and delete of a model; `exclude` names its secret columns."""
    decorator: Callable[[ModelT], ModelT] = pghistory.track(
        exclude=list(exclude),
        # The audit trail is read newest first, over all tables at once.
        meta={"indexes": [models.Index(fields=["pgh_created_at", "pgh_id"])]},
    )
    return decorator


_around: ContextVar[dict[str, Any] | None] = ContextVar("audit_context", default=None)


@contextmanager
def context(action: Action, *, actor: Actor, reason: str = "") -> Iterator[None]:
    """Give every tracked change made inside the block its actor, surface and reason.

    Contexts nest: after an inner block the outer one holds again.
    """
    outer = _around.get()
    said = {
        "action": action.code,
        "actor": actor.name,
        "user": actor.user_id,
        "surface": actor.surface.value,
        "reason": reason,
        "request": str(actor.request_id),
    }
    token = _around.set(said)
    try:
        with pghistory.context(**said):
            yield
    finally:
        _around.reset(token)
        if outer is not None:
            pghistory.context(**outer)  # the library merges inner into outer and leaves it so
