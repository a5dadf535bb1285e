"""Columns with a meaning, and the constraints that hold it in the database."""

from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from fernet_fields import EncryptedTextField

from controlplane.base import validators
from controlplane.kernel.ids import uuid7
from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import DECIMAL_PLACES, LIMIT, MAX_DIGITS


class _Numeric(models.DecimalField):
    """numeric(36, 18). Rules on its range are constraints: NaN passes the column type."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", MAX_DIGITS)
        kwargs.setdefault("decimal_places", DECIMAL_PLACES)
        super().__init__(*args, **kwargs)


class SizeField(_Numeric):
    """An amount of base asset."""


class PriceField(_Numeric):
    """Quote per one base."""


class MoneyField(_Numeric):
    """An amount of quote asset, read as USD."""


class RatioField(_Numeric):
    """A share: 0.5 is one half."""


class PercentField(_Numeric):
    """Per cent: 0.5 is half of one per cent."""


class _KeyMixin:
    """Says `primary_key` in migrations even when false, as in audit copies of a key."""

    primary_key: bool

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        return name, path, args, {**kwargs, "primary_key": self.primary_key}


class UUIDKey(_KeyMixin, models.UUIDField):
    """A machine's primary key: UUIDv7, so keys sort by time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("primary_key", True)
        kwargs.setdefault("default", uuid7)
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)


class SlugKey(_KeyMixin, models.CharField):
    """A primary key that a person chooses once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("primary_key", True)
        kwargs.setdefault("max_length", 64)
        kwargs.setdefault("validators", [validators.slug])
        super().__init__(*args, **kwargs)


class TextLine(models.CharField):
    """One line of plain text, at most 200 characters unless told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 200)
        kwargs.setdefault("validators", [validators.plain_text])
        super().__init__(*args, **kwargs)


class AssetField(models.CharField):
    """A base or quote asset such as BTC; called symbol in the data model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 20)
        kwargs.setdefault("validators", [validators.asset])
        super().__init__(*args, **kwargs)


class EnumField(models.CharField):
    """A text column that holds the values of one StrEnum (see `one_of` for the constraint)."""

    def __init__(self, enum: type[StrEnum] | None = None, *args: Any, **kwargs: Any) -> None:
        if enum is not None:
            kwargs["choices"] = [(str(member), str(member)) for member in enum]
            if isinstance(kwargs.get("default"), StrEnum):
                kwargs["default"] = str(kwargs["default"])
        kwargs.setdefault("max_length", 32)
        super().__init__(*args, **kwargs)


class DocumentField(models.JSONField):
    """A JSON document PostgreSQL can hold: no NUL, no NaN, bounded in size and depth."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("validators", [validators.document])
        super().__init__(*args, **kwargs)


class SecretField(EncryptedTextField):
    """A credential: encrypted at rest, a `Secret` in Python, never part of audit rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("blank", True)
        kwargs.setdefault("default", "")
        kwargs.setdefault("max_length", 4096)
        super().__init__(*args, **kwargs)

    def to_python(self, value: Any) -> Secret | None:
        if value is None or isinstance(value, Secret):
            return value
        return Secret(str(value))

    def get_prep_value(self, value: Any) -> Any:
        return value.reveal() if isinstance(value, Secret) else value

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        secret = self.to_python(value)
        if secret is not None:
            super().clean(secret.reveal(), model_instance)
        return secret

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))


def fingerprint(secret: Secret | None) -> str:
    """Return what people may see of a stored credential; empty when there is none."""
    return secret.fingerprint(key=settings.SECRET_KEY.encode()) if secret else ""


def finite(model: str, *fields: str) -> list[CheckConstraint]:
    """Constrain each field to a finite number of either sign."""
    return [
        _check(
            model,
            name,
            "finite",
            Q(**{f"{name}__gt": -LIMIT, f"{name}__lt": LIMIT}),
            _("must be a finite number"),
        )
        for name in fields
    ]


def positive(model: str, *fields: str) -> list[CheckConstraint]:
    """Constrain each field to a finite number above zero."""
    return [
        _check(
            model,
            name,
            "positive",
            Q(**{f"{name}__gt": 0, f"{name}__lt": LIMIT}),
            _("must be a finite number above zero"),
        )
        for name in fields
    ]


def non_negative(model: str, *fields: str) -> list[CheckConstraint]:
    """Constrain each field to a finite number of zero or more."""
    return [
        _check(
            model,
            name,
            "not_negative",
            Q(**{f"{name}__gte": 0, f"{name}__lt": LIMIT}),
            _("must be a finite number of zero or more"),
        )
        for name in fields
    ]


def one_of(model: str, field: str, enum: type[StrEnum]) -> CheckConstraint:
    """Constrain a text column to the values of `enum`."""
    values = [str(member) for member in enum]
    return _check(
        model,
        field,
        "known",
        Q(**{f"{field}__in": values}),
        format_lazy(_("must be one of {values}"), values=", ".join(values)),
    )


def _check(model: str, field: str, rule: str, condition: Q, text: Any) -> CheckConstraint:
    return CheckConstraint(
        name=f"{model}_{field}_{rule}",
        condition=condition,
        violation_error_code=f"{field}:{rule}",
        violation_error_message=format_lazy("{field} {text}.", field=field, text=text),
    )
