"""The audit trail as people read it: who changed which field of what, from what to what, and why.

Rows come from the event tables (see `audit`). A row without context was written by somebody
who went round the product: its surface is "database".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.db import models
from django.utils.translation import gettext_lazy as _
from pghistory import ProxyField, core
from pghistory.models import Events, EventsQuery, EventsQueryCompiler, EventsQuerySet

from controlplane.base import audit

DATABASE: Final = "database"
SURFACES: Final = (*(str(surface) for surface in audit.Surface), DATABASE)
_BOOKKEEPING: Final = frozenset({"updated_at", "created_at"})
_DECIMAL: Final = re.compile(r"-?\d+\.\d{18}")
_LABELS: Final = {"insert": audit.CREATED, "update": audit.CHANGED, "delete": audit.DELETED}


class _Compiler(EventsQueryCompiler):
    """Reads each event table by its time index, so a page costs the same on any number of rows.

    The library's own statement sorts every row and parses numbers as floats; this one has each
    value as text, and what came before only for the rows that are shown.
    """

    def _get_select(self, event_model: Any) -> str:
        table = event_model._meta.db_table
        return f"""
            SELECT
              '{event_model._meta.label}:' || _event.pgh_id AS pgh_slug,
              _event.pgh_id::bigint AS pgh_id,
              _event.pgh_created_at,
              _event.pgh_label,
              '{event_model._meta.label}' AS pgh_model,
              '{event_model.pgh_tracked_model._meta.label}' AS pgh_obj_model,
              _event.pgh_obj_id::text AS pgh_obj_id,
              _event.pgh_context_id,
              _event.pgh_context,
              COALESCE(_event.pgh_context->>'actor', '') AS actor,
              COALESCE(_event.pgh_context->>'surface', '{DATABASE}') AS surface,
              (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(_event))
               WHERE key NOT LIKE 'pgh_%%') AS pgh_data,
              (SELECT jsonb_object_agg(curr.key, jsonb_build_array(prev.value, curr.value))
               FROM (SELECT to_jsonb(_prev) AS data FROM "{table}" _prev
                     WHERE _prev.pgh_obj_id = _event.pgh_obj_id AND _prev.pgh_id < _event.pgh_id
                     ORDER BY _prev.pgh_id DESC LIMIT 1) _last,
                    LATERAL jsonb_each_text(to_jsonb(_event)) curr,
                    LATERAL jsonb_each_text(_last.data) prev
               WHERE curr.key = prev.key AND curr.value IS DISTINCT FROM prev.value
                 AND curr.key NOT LIKE 'pgh_%%') AS pgh_diff
            FROM "{table}" _event
            {self._get_where_clause(event_model)}
        """  # noqa: S608 - table and model names come from our own models


class _Query(EventsQuery):
    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        compiler = super().get_compiler(*args, **kwargs)
        compiler.__class__ = _Compiler
        return compiler


class _QuerySet(EventsQuerySet):
    def __init__(self, model: Any = None, query: Any = None, **kwargs: Any) -> None:
        super().__init__(model, _Query(model) if query is None else query, **kwargs)


class AuditEvent(Events):
    """One audited change of any tracked row."""

    actor = ProxyField("pgh_context__actor", models.TextField(_("actor")))
    surface = ProxyField("pgh_context__surface", models.TextField(_("surface")))

    objects = _QuerySet.as_manager()

    class Meta:
        proxy = True
        app_label = "base"
        verbose_name = _("audited change")
        verbose_name_plural = _("audit trail")
        default_permissions = ("view",)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after, as text; None where there was nothing."""

    label: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One audited change."""

    at: datetime
    entity: str
    object_id: str
    action: str
    actor: str
    surface: str
    reason: str
    changes: tuple[FieldChange, ...]


def tracked_models() -> list[type[models.Model]]:
    """Return the models whose changes are kept, by name."""
    found = {event.pgh_tracked_model for event in core.event_models()}
    return sorted(found, key=lambda model: str(model._meta.label))


def entries(row: models.Model, *, limit: int) -> list[Entry]:
    """Return the newest changes of one row."""
    newest = AuditEvent.objects.tracks(row).order_by("-pgh_created_at", "-pgh_id")[:limit]
    return [entry(event) for event in newest]


def entry(event: Events) -> Entry:
    """Return an event row as people read it."""
    context: Mapping[str, Any] = event.pgh_context or {}
    model = apps.get_model(event.pgh_obj_model)
    return Entry(
        at=event.pgh_created_at,
        entity=str(model._meta.verbose_name),
        object_id=event.pgh_obj_id or "",
        action=_action_label(event.pgh_label, context),
        actor=str(context.get("actor", "")),
        surface=str(context.get("surface", DATABASE)),
        reason=str(context.get("reason", "")),
        changes=tuple(_changes(event, model)),
    )


def _action_label(operation: str, context: Mapping[str, Any]) -> str:
    """Return what was meant, or what the database did when nobody said."""
    meant = audit.action(str(context.get("action", "")))
    if meant in {None, audit.CREATED, audit.CHANGED, audit.DELETED}:
        # A create may change other rows with it: what happened to this one is what counts.
        meant = _LABELS.get(operation)
    return str(meant.label) if meant else operation


def _changes(event: Events, model: type[models.Model]) -> Iterator[FieldChange]:
    labels = {field.column: str(field.verbose_name) for field in model._meta.concrete_fields}
    pairs: dict[str, tuple[str | None, str | None]]
    if event.pgh_label == "update":
        pairs = {name: tuple(values) for name, values in (event.pgh_diff or {}).items()}
    elif event.pgh_label == "delete":
        pairs = {name: (value, None) for name, value in event.pgh_data.items()}
    else:
        pairs = {name: (None, value) for name, value in event.pgh_data.items()}
    for name, (before, after) in sorted(pairs.items()):
        if name not in _BOOKKEEPING and before != after:
            yield FieldChange(labels.get(name, name), _trimmed(before), _trimmed(after))


def _trimmed(value: str | None) -> str | None:
    """Return a number without the zeros of its column, everything else as it is."""
    return value.rstrip("0").rstrip(".") if value and _DECIMAL.fullmatch(value) else value
