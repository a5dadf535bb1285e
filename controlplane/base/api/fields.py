"""What the API reads and writes for each kind of column: strict types, plain texts."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.base import validators
from controlplane.base.fields import fingerprint
from controlplane.kernel.errors import InvalidNumber
from controlplane.kernel.secrets import Secret
from controlplane.kernel.units import DECIMAL_PLACES, MAX_DIGITS, finite_decimal, plain

MAX_REFERENCES: Final = 200
"""A list of references is at most this long: each one is looked up."""


class NumberField(serializers.DecimalField):
    """An exact number: a string or a JSON number comes in, a plain string goes out."""

    default_error_messages = {"invalid": _("A finite number is required, such as 0.5.")}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", MAX_DIGITS)
        kwargs.setdefault("decimal_places", DECIMAL_PLACES)
        super().__init__(**kwargs)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Blank text is no number and no null either."""
        return serializers.Field.validate_empty_values(self, data)

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            number = finite_decimal(data)
        except InvalidNumber:
            self.fail("invalid")
        return self.validate_precision(number)

    def to_representation(self, value: Any) -> str:
        return plain(Decimal(value))


class IntegerField(serializers.IntegerField):
    """A whole number; a string of digits is not one."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class TextField(serializers.CharField):
    """Text and nothing else: a number is not turned into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


@extend_schema_field({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
class AddressField(TextField):
    """An IP address, as text: what is none, the model refuses in its own words."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("protocol", None)
        super().__init__(**kwargs)


class FlagField(serializers.BooleanField):
    """JSON's true and false; no words that may mean them."""

    def to_internal_value(self, data: Any) -> bool:
        if data is not True and data is not False:
            self.fail("invalid", input=type(data).__name__)
        return bool(data)


class ChoiceField(serializers.ChoiceField):
    """One of the values of an enumeration, exactly as written."""

    default_error_messages = {"invalid_choice": _("Must be one of: {values}.")}

    def to_internal_value(self, data: Any) -> str:
        if data == "" and self.allow_blank:
            return ""
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", values=", ".join(str(choice) for choice in self.choices))
        return data


class SecretField(serializers.CharField):
    """A credential: goes in, never comes out. Blank or absent leaves the stored one."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("read_only", None)
        kwargs.setdefault("max_length", 4096)
        super().__init__(
            **{**kwargs, "write_only": True, "required": False, "allow_blank": True},
            validators=[validators.plain_text],
        )

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is serializers.empty or data == "":
            raise serializers.SkipField
        if not isinstance(data, str):
            self.fail("invalid")
        return Secret(super().run_validation(data))


@extend_schema_field(OpenApiTypes.STR)
class FingerprintField(serializers.ReadOnlyField):
    """What people may see of a stored credential; empty when there is none."""

    def to_representation(self, value: Any) -> str:
        return fingerprint(value)


@extend_schema_field(OpenApiTypes.ANY)
class DocumentField(serializers.JSONField):
    """A JSON document. Its numbers must survive being stored as JSON numbers."""

    default_error_messages = {
        "inexact": _("A number in the document is too large or too precise; write it as text.")
    }

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(self._storable(data))

    def _storable(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._storable(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._storable(item) for item in value]
        if not isinstance(value, Decimal):
            return value
        number = float(value)  # JSON has no decimals; refused unless nothing is lost
        if not value.is_finite() or Decimal(repr(number)) != value:
            self.fail("inexact")
        return number


class ReferenceListField(serializers.ManyRelatedField):
    """A list of keys of other entities."""

    default_error_messages = {
        "too_long": _("At most {limit} entries are allowed."),
        "repeated": _("An entry is there twice."),
    }

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if len(data) > MAX_REFERENCES:
            self.fail("too_long", limit=MAX_REFERENCES)
        found = list(super().to_internal_value(data))
        if len({row.pk for row in found}) != len(found):
            self.fail("repeated")
        return found

    def to_representation(self, iterable: Any) -> list[Any]:
        return sorted(super().to_representation(iterable))


class ReferenceField(serializers.PrimaryKeyRelatedField):
    """The key of another entity."""

    default_error_messages = {
        "does_not_exist": _("There is no such entry."),
        "incorrect_type": _("A key is required, as text."),
    }

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> ReferenceListField:
        passed = {
            key: kwargs[key]
            for key in ("read_only", "required", "help_text", "label", "source", "allow_empty")
            if key in kwargs
        }
        return ReferenceListField(child_relation=cls(*args, **kwargs), **passed)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Blank text is no key and no null either."""
        return serializers.Field.run_validation(self, data)

    def to_internal_value(self, data: Any) -> models.Model:
        if not isinstance(data, str):
            self.fail("incorrect_type")
        queryset = self.get_queryset()
        assert queryset is not None
        try:
            key = key_of(queryset.model).clean(data, None)
            found: models.Model = queryset.get(pk=key)
        except (DjangoValidationError, ObjectDoesNotExist):
            self.fail("does_not_exist")
        return found

    def to_representation(self, value: Any) -> str:
        return str(value.pk)


def key_of(model: type[models.Model]) -> Any:
    """Return the column behind a model's key, following a key that is itself a reference."""
    key: Any = model._meta.pk
    while key.remote_field is not None:
        key = key.target_field
    return key
