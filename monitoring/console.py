"""Panels of the console as HTML: for the first page and for what is pushed after it."""

import threading
import time
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone, translation

from controlplane.base.admin.stops import ENGAGE
from monitoring.dashboard import PANELS, Panel

KEEP_SECONDS: Final = 0.3
"""How long one rendering serves every browser of this process."""

_rendered: dict[tuple[str, str], tuple[float, str]] = {}
_lock = threading.Lock()


def visible_panels(user: AbstractBaseUser | AnonymousUser) -> list[Panel]:
    """Return the panels this person may see."""
    if not (user.is_active and isinstance(user, PermissionsMixin)):
        return []
    return [panel for panel in PANELS.values() if user.has_perm(panel.permission)]


def render_panel(panel: Panel, language: str) -> str:
    """Return a panel's HTML, at most KEEP_SECONDS old."""
    key = (panel.topic, language)
    with _lock:
        made_at, html = _rendered.get(key, (0.0, ""))
        if time.monotonic() - made_at < KEEP_SECONDS:
            return html
        now = timezone.now()
        with translation.override(language):
            html = render_to_string(panel.template, {**panel.content(now), "now": now})
        _rendered[key] = (time.monotonic(), html)
        return html


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the panels to the admin's index page (unfold's dashboard callback)."""
    language = translation.get_language() or "en"
    context["panels"] = [
        {"panel": panel, "html": render_panel(panel, language)}
        for panel in visible_panels(request.user)
    ]
    context["server_time"] = timezone.now()
    context["may_stop"] = request.user.has_perm(ENGAGE)
    return context
