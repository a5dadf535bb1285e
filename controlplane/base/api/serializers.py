"""Entities on the wire: names of the data model, rules of the model, secrets one way only."""

import copy
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from controlplane.base import fields as columns
from controlplane.base import validators
from controlplane.base.api import fields as wire_fields
from controlplane.base.api.exceptions import field_errors
from controlplane.base.api.wire import wire_names

UNITS: Final[Mapping[type[models.Field], Promise]] = {
    columns.SizeField: _("base asset"),
    columns.PriceField: _("quote per one base"),
    columns.MoneyField: _("USD"),
    columns.RatioField: _("share: 0.5 is one half"),
    columns.PercentField: _("per cent"),
}


class EntitySerializer(serializers.ModelSerializer):
    """One entity, with `Meta.fields` as model fields and their wire names in JSON.

    A write is checked as the admin checks it: `full_clean()` on the row as it would be. Every
    refusal names the wire field. Unknown and read-only fields in a body are refused.
    """

    serializer_related_field = wire_fields.ReferenceField
    serializer_choice_field = wire_fields.ChoiceField
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DecimalField: wire_fields.NumberField,
        models.BooleanField: wire_fields.FlagField,
        models.CharField: wire_fields.TextField,
        models.TextField: wire_fields.TextField,
        models.IntegerField: wire_fields.IntegerField,
        models.PositiveIntegerField: wire_fields.IntegerField,
        models.PositiveSmallIntegerField: wire_fields.IntegerField,
        models.BigIntegerField: wire_fields.IntegerField,
        models.GenericIPAddressField: wire_fields.AddressField,
        models.JSONField: wire_fields.DocumentField,
        columns.SecretField: wire_fields.SecretField,
    }

    def get_fields(self) -> dict[str, Any]:
        names = wire_names(self.Meta.model)
        named: dict[str, Any] = {}
        for name, field in super().get_fields().items():
            wire = names.get(name, name)
            if field.source is None and wire != name:
                field.source = name
            named[wire] = field
            if isinstance(field, wire_fields.SecretField):
                named[f"{wire}Fingerprint"] = wire_fields.FingerprintField(
                    source=name, help_text=_("What may be seen of the stored credential.")
                )
        return named

    def get_validators(self) -> list[Any]:
        """Return none: uniqueness is checked by the model, like every other rule."""
        return []

    def build_standard_field(self, field_name: str, model_field: Any) -> tuple[Any, Any]:
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        kwargs.pop("validators", None)
        kwargs["help_text"] = description(model_field)
        if model_field.has_default() and not callable(model_field.default):
            default = model_field.to_python(model_field.default)
            if not kwargs.get("read_only") and not isinstance(model_field, columns.SecretField):
                kwargs["default"] = default
        return field_class, kwargs

    def build_relational_field(self, field_name: str, relation_info: Any) -> tuple[Any, Any]:
        field_class, kwargs = super().build_relational_field(field_name, relation_info)
        kwargs.pop("validators", None)
        kwargs.pop("view_name", None)
        kwargs["help_text"] = (
            description(relation_info.model_field)
            if relation_info.model_field is not None
            else relation_info.related_model._meta.verbose_name_plural
        )
        return field_class, kwargs

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (refused := self._refused_names(data)):
            raise ValidationError(refused)
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        row = self._row_as_it_would_be(attrs)
        try:
            row.full_clean()
        except DjangoValidationError as error:
            raise ValidationError(field_errors(error, self._names())) from None
        return attrs

    def update(self, instance: models.Model, validated_data: dict[str, Any]) -> models.Model:
        """Write the given columns only: what machines keep in the same row stays theirs."""
        many = {field.name for field in instance._meta.many_to_many} & set(validated_data)
        plain = {name: value for name, value in validated_data.items() if name not in many}
        for name, value in plain.items():
            setattr(instance, name, value)
        automatic = {f.name for f in instance._meta.fields if getattr(f, "auto_now", False)}
        instance.save(update_fields={*plain, *automatic})
        for name in many:
            getattr(instance, name).set(validated_data[name])
        return instance

    def _refused_names(self, data: Mapping[str, Any]) -> dict[str, list[ErrorDetail]]:
        writable = {name for name, field in self.fields.items() if not field.read_only}
        return {
            name: [
                ErrorDetail(gettext("This field is read-only."), code="read_only")
                if name in self.fields
                else ErrorDetail(gettext("There is no such field."), code="unknown_field")
            ]
            for name in data
            if name not in writable
        }

    def _row_as_it_would_be(self, attrs: Mapping[str, Any]) -> models.Model:
        model: type[models.Model] = self.Meta.model
        many = {field.name for field in model._meta.many_to_many}
        plain = {name: value for name, value in attrs.items() if name not in many}
        if self.instance is None:
            return model(**plain)
        self._check_key(self.instance, plain)
        row = copy.copy(self.instance)
        for name, value in plain.items():
            setattr(row, name, value)
        return row

    def _check_key(self, row: models.Model, attrs: Mapping[str, Any]) -> None:
        key = row._meta.pk.name
        if key in attrs and attrs[key] != row.pk:
            problem = ErrorDetail(gettext("A key is chosen once and stays."), code="immutable")
            raise ValidationError({self._names().get(key, key): [problem]})

    def _names(self) -> dict[str, str]:
        return {
            str(field.source): name for name, field in self.fields.items() if not field.read_only
        }


class ReasonSerializer(serializers.Serializer):
    """What every verb asks for: why."""

    reason = wire_fields.TextField(
        max_length=500, validators=[validators.plain_text], help_text=_("Why; kept in the audit.")
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := set(data) - set(self.fields)):
            problem = ErrorDetail(gettext("There is no such field."), code="unknown_field")
            raise ValidationError({name: [problem] for name in unknown})
        return super().to_internal_value(data)


def description(field: Any) -> Any:
    """Return what a column means, with its unit unless the label names one."""
    label = field.verbose_name
    text = format_lazy("{label}. {help}", label=label, help=field.help_text)
    for kind, unit in UNITS.items():
        if isinstance(field, kind) and "," not in str(label):
            text = format_lazy(
                "{label} ({unit}). {help}", label=label, unit=unit, help=field.help_text
            )
    return text if field.help_text or "(" in str(text) else label
