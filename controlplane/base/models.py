"""Shared shapes of rows."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from controlplane.base.trail import AuditEvent

__all__ = ["AuditEvent", "Entity", "Timestamped"]


class Entity(models.Model):
    """A row whose constraint violations name the field they are about.

    A constraint's error code is `field:rule`; the error is reported under that field.
    """

    class Meta:
        abstract = True

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        try:
            super().validate_constraints(exclude=exclude)
        except ValidationError as error:
            raise ValidationError(_by_field(error)) from None


class Timestamped(Entity):
    """An entity that knows when it was made and last changed through the ORM."""

    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        abstract = True


def _by_field(error: ValidationError) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = defaultdict(list)
    for field, problems in error.error_dict.items():
        for problem in problems:
            name = (problem.code or "").partition(":")
            grouped[name[0] if field == NON_FIELD_ERRORS and name[1] else field].append(problem)
    return grouped
