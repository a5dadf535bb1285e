"""Filters in wire names, made from the columns they look at."""

from collections.abc import Mapping
from typing import Any, Final

import django_filters
from django import forms
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

from controlplane.base.api.fields import key_of
from controlplane.base.api.wire import wire_name

PAGE_PARAMETERS: Final = frozenset({"limit", "cursor"})


class NumberKeyFilter(django_filters.Filter):
    """Matches a reference to a row that the database numbers, such as a user."""

    field_class = forms.IntegerField

    def __init__(self, path: str) -> None:
        super().__init__(path, min_value=0, max_value=models.BigIntegerField.MAX_BIGINT)


class EntityFilterSet(django_filters.FilterSet):
    """Filters named in `Meta.fields` (model fields); anything else in the query is refused.

    A time gives a range, `createdAtAfter` (from, inclusive) and `createdAtBefore` (to, exclusive);
    every other column is matched exactly.
    """

    @classmethod
    def get_filters(cls) -> dict[str, django_filters.Filter]:
        declared = dict(cls.declared_filters)
        model = cls._meta.model
        if model is None:
            return declared
        made: dict[str, django_filters.Filter] = {}
        for name in cls._meta.fields or ():
            made |= filters_for(model._meta.get_field(name))
        return made | declared

    def is_valid(self) -> bool:
        return super().is_valid() and not self.unknown()

    @property
    def errors(self) -> Any:
        problems = super().errors
        for name in self.unknown():
            if name not in problems:
                problems[name] = self.form.error_class(
                    [forms.ValidationError(_("There is no such filter."), code="unknown_filter")]
                )
        return problems

    def unknown(self) -> list[str]:
        """Return the names in the query that are no filters of this list."""
        return sorted(set(self.data or ()) - set(self.filters) - PAGE_PARAMETERS)


def refuse_parameters(request: Request) -> None:
    """Refuse every query parameter: for lists that have neither filters nor pages."""
    if request.query_params:
        problem = ErrorDetail(gettext("There is no such filter."), code="unknown_filter")
        raise ValidationError({name: [problem] for name in request.query_params})


def filters_for(field: Any) -> Mapping[str, django_filters.Filter]:
    """Return wire name -> filter for one column."""
    wire = wire_name(field)
    if isinstance(field, models.DateTimeField):
        return {
            f"{wire}After": django_filters.IsoDateTimeFilter(field.name, "gte"),
            f"{wire}Before": django_filters.IsoDateTimeFilter(field.name, "lt"),
        }
    if field.is_relation:
        path = field.name if field.many_to_many else field.attname
        return {wire: _exact(type(key_of(field.related_model)), path, 64)}
    if field.choices:
        return {wire: django_filters.ChoiceFilter(field.name, choices=field.choices)}
    if isinstance(field, models.BooleanField):
        return {
            wire: django_filters.TypedChoiceFilter(
                field.name,
                choices=(("true", "true"), ("false", "false")),
                coerce=lambda text: text == "true",
            )
        }
    return {wire: _exact(type(field), field.name, field.max_length or 200)}


def _exact(kind: type[models.Field], path: str, length: int) -> django_filters.Filter:
    if issubclass(kind, models.UUIDField):
        return django_filters.UUIDFilter(path)
    if issubclass(kind, models.IntegerField):
        return NumberKeyFilter(path)
    return django_filters.CharFilter(path, max_length=length)
