"""Actions: permission, a confirmation with a reason, one service call per object, one message."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from controlplane.base.admin.forms import ReasonForm
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import ControlPlaneError

MAX_OBJECTS: Final = 200
"""An action asked of more rows than this is refused: nobody has looked at them."""


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts in this request: one actor, hence one request id, for all it does."""
    actor = getattr(request, "audit_actor", None)
    if actor is None:
        actor = Actor(
            name=request.user.get_username(), surface=Surface.ADMIN, user_id=request.user.pk
        )
        request.audit_actor = actor  # type: ignore[attr-defined]
    return actor


def confirm_with_reason(
    self: Any,
    request: HttpRequest,
    queryset: QuerySet,
    *,
    verb: Callable[..., Any],
    tells: Callable[[Any], str] | None = None,
) -> HttpResponse | None:
    """Ask for a reason, then call `verb` once for each selected row.

    The row is the verb's first parameter; `actor` and `reason` are the others. `tells` says, below
    each row, what a person should know who confirms it. Permission is
    checked by the action's own `permissions`. A refused row is reported and the rest go on.
    """
    name = request.POST["action"]
    rows = list(queryset[: MAX_OBJECTS + 1])
    if len(rows) > MAX_OBJECTS:
        text = _("Choose at most %(limit)d rows.") % {"limit": MAX_OBJECTS}
        self.message_user(request, text, messages.ERROR)
        return None
    form = ReasonForm(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        _apply(self, request, rows, verb=verb, reason=form.cleaned_data["change_reason"])
        return None
    action = next(a for a in self.get_actions(request).values() if a[1] == name)
    return TemplateResponse(
        request,
        "admin/confirm_action.html",
        {
            **self.admin_site.each_context(request),
            "title": str(action[2]).rstrip("…"),
            "opts": self.model._meta,
            "rows": [(row, "" if tells is None else tells(row)) for row in rows],
            "form": form,
            "action": name,
            "checkbox": ACTION_CHECKBOX_NAME,
        },
    )


def _apply(
    self: Any,
    request: HttpRequest,
    rows: list[Model],
    *,
    verb: Callable[..., Any],
    reason: str,
) -> None:
    argument = next(iter(inspect.signature(verb).parameters))
    done = 0
    refused: list[str] = []
    for row in rows:
        try:
            verb(**{argument: row}, actor=actor_of(request), reason=reason)
        except ControlPlaneError as refusal:
            refused.append(f"{row}: {refusal.message}")
        except ValidationError as refusal:
            refused.append(f"{row}: {' '.join(refusal.messages)}")
        else:
            done += 1
    text = ngettext("Done for %(count)d row.", "Done for %(count)d rows.", done) % {"count": done}
    level = messages.SUCCESS
    if refused:
        text = " ".join([text, _("Refused:"), *refused[:10]])
        level = messages.WARNING if done else messages.ERROR
    self.message_user(request, text, level)
