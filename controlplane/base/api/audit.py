"""The audit trail over the API: read-only, newest first."""

from typing import Any

import django_filters
from django.apps import apps
from django.db import models
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers, viewsets

from controlplane.base.api.filtersets import EntityFilterSet
from controlplane.base.api.pagination import CursorPages
from controlplane.base.api.wire import wire_names
from controlplane.base.models import AuditEvent
from controlplane.base.trail import SURFACES, tracked_models


class AuditPages(CursorPages):
    """Pages by the time of the change."""

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        return ("-pgh_created_at", "-pgh_slug")

    def position_field(self, model: type[models.Model]) -> Any:
        return model._meta.get_field("pgh_created_at")


class AuditSerializer(serializers.ModelSerializer):
    """One change of one row: what it was, what it became, by whom, through which door, why."""

    auditId = serializers.CharField(source="pgh_slug", help_text=_("The change."))
    entity = serializers.SerializerMethodField(help_text=_("What kind of row changed."))
    objectId = serializers.CharField(
        source="pgh_obj_id", allow_null=True, help_text=_("The key of the row.")
    )
    operation = serializers.CharField(source="pgh_label", help_text=_("insert, update or delete."))
    action = serializers.SerializerMethodField(help_text=_("What was meant, such as changed."))
    actor = serializers.CharField(help_text=_("Who; empty when it came from outside."))
    surface = serializers.CharField(help_text=_("Through which door; database: from outside."))
    reason = serializers.SerializerMethodField(help_text=_("Why, as given."))
    requestId = serializers.SerializerMethodField(help_text=_("The request it was part of."))
    changes = serializers.SerializerMethodField(
        help_text=_("Field -> [before, after] as text; null where there was nothing.")
    )
    createdAt = serializers.DateTimeField(source="pgh_created_at", help_text=_("When."))

    class Meta:
        model = AuditEvent
        fields = (
            "auditId",
            "entity",
            "objectId",
            "operation",
            "action",
            "actor",
            "surface",
            "reason",
            "requestId",
            "changes",
            "createdAt",
        )
        read_only_fields = fields

    def get_entity(self, event: Any) -> str:
        return str(event.pgh_obj_model.rpartition(".")[2])

    def get_action(self, event: Any) -> str:
        return self._said(event, "action")

    def get_reason(self, event: Any) -> str:
        return self._said(event, "reason")

    def get_requestId(self, event: Any) -> str:
        return self._said(event, "request")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_changes(self, event: Any) -> dict[str, list[str | None]]:
        """Return what changed by wire name; the row's own times are no news."""
        model = apps.get_model(event.pgh_obj_model)
        wire = wire_names(model)
        named = {
            field.column: wire[field.name]
            for field in model._meta.concrete_fields
            if field.name not in {"created_at", "updated_at"}
        }
        if event.pgh_label == "update":
            pairs = {name: list(values) for name, values in (event.pgh_diff or {}).items()}
        elif event.pgh_label == "delete":
            pairs = {name: [value, None] for name, value in event.pgh_data.items()}
        else:
            pairs = {name: [None, value] for name, value in event.pgh_data.items()}
        return {named[name]: pair for name, pair in sorted(pairs.items()) if name in named}

    def _said(self, event: Any, name: str) -> str:
        return str((event.pgh_context or {}).get(name, ""))


class AuditFilters(EntityFilterSet):
    entity = django_filters.ChoiceFilter(
        "pgh_obj_model",
        choices=lambda: [
            (model._meta.object_name, model._meta.object_name) for model in tracked_models()
        ],
        method="of_entity",
    )
    objectId = django_filters.CharFilter("pgh_obj_id", max_length=64)
    actor = django_filters.CharFilter("actor", max_length=150)
    surface = django_filters.ChoiceFilter(
        "surface", choices=[(surface, surface) for surface in SURFACES]
    )
    action = django_filters.CharFilter("pgh_context__action", max_length=100)
    createdAtAfter = django_filters.IsoDateTimeFilter("pgh_created_at", "gte")
    createdAtBefore = django_filters.IsoDateTimeFilter("pgh_created_at", "lt")

    class Meta:
        model = AuditEvent
        fields: tuple[str, ...] = ()

    def of_entity(self, rows: Any, name: str, value: str) -> Any:
        """Keep changes of one kind of row."""
        return rows.filter(**{f"{name}__endswith": f".{value}"})


class AuditViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """Every change of every configuration entity, whoever made it."""

    queryset = AuditEvent.objects.all()
    serializer_class = AuditSerializer
    filterset_class = AuditFilters
    pagination_class = AuditPages
