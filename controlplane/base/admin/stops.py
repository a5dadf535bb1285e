"""The STOP of a page: a button that leads to the form, what it stops filled in."""

from collections.abc import Callable
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from unfold.decorators import action
from unfold.enums import ActionVariant

ENGAGE: Final = "hedging.engage_emergencystop"
"""The permission to stop; without it there is no button."""


def stop_button(name: str, label: Any, *, asked: Callable[[Any], dict[str, str]]) -> Any:
    """Return a page's action `name` (the attribute it is kept in), for `actions_detail`.

    `asked` makes of a row what the form is filled in with: scope, target or account.
    """

    def stop(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return redirect(f"{reverse('admin:hedging_emergencystop_engage')}?{urlencode(asked(row))}")

    stop.__name__ = name
    return action(
        description=label,
        permissions=["stop"],  # unfold looks a dotted one up, where there may be no table yet
        url_path=name,
        variant=ActionVariant.DANGER,
        icon="emergency_home",
    )(stop)
