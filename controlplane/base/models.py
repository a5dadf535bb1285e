"""Shared shapes of rows."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from controlplane.base.fields import fingerprint
from controlplane.base.trail import AuditEvent
from controlplane.kernel.secrets import MASK, Secret, redact

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


class SecretHolder(models.Model):
    """A row with encrypted fields; `secrets_fingerprint` lets the audit see that one changed."""

    secrets_fingerprint = models.CharField(
        _("credentials fingerprint"), max_length=200, blank=True, editable=False
    )
    secret_fields: tuple[str, ...] = ()

    class Meta:
        abstract = True

    def fingerprints(self) -> dict[str, str]:
        """Return field name -> what people may see of the credential; blank ones left out."""
        shown = {name: fingerprint(getattr(self, name)) for name in self.secret_fields}
        return {name: text for name, text in shown.items() if text}

    def masked(self, text: str) -> str:
        """Return a text without what looks like a credential, and without any key of this row."""
        text = redact(text)
        for name in self.secret_fields:
            if secret := getattr(self, name).reveal():
                text = text.replace(secret, MASK)
        return text

    def save(self, *args: object, **kwargs: object) -> None:
        for name in self.secret_fields:
            if isinstance(value := getattr(self, name), str):
                setattr(self, name, Secret(value))
        marks = (secret_mark(name, getattr(self, name)) for name in self.secret_fields)
        self.secrets_fingerprint = " ".join(mark for mark in marks if mark)
        if (written := kwargs.get("update_fields")) is not None:
            kwargs["update_fields"] = {*written, "secrets_fingerprint"}  # type: ignore[misc]
        super().save(*args, **kwargs)  # type: ignore[arg-type]


def secret_mark(name: str, value: Secret | str | None) -> str | None:
    """Return how a stored credential shows in `secrets_fingerprint`; None when it is blank."""
    secret = Secret(value) if isinstance(value, str) else value
    return f"{name}:{fingerprint(secret).split()[-1]}" if secret else None


def _by_field(error: ValidationError) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = defaultdict(list)
    for field, problems in error.error_dict.items():
        for problem in problems:
            name = (problem.code or "").partition(":")
            grouped[name[0] if field == NON_FIELD_ERRORS and name[1] else field].append(problem)
    return grouped
