"""Form parts of the admin: credentials that are never shown, exact numbers, safe documents."""

import json
import string
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from controlplane.base.admin.columns import plain
from controlplane.base.fields import fingerprint
from controlplane.base.validators import plain_text
from controlplane.kernel.secrets import Secret

REASON_LENGTH = 200


class ReasonForm(forms.Form):
    """Why something is done; kept with the audit."""

    change_reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        validators=[plain_text],
        widget=UnfoldAdminTextInputWidget,
    )


class AuditedForm(forms.ModelForm):
    """A model's form with an optional reason, which goes to the audit and not to the row."""

    change_reason = forms.CharField(
        label=_("Reason for the change"),
        max_length=REASON_LENGTH,
        required=False,
        validators=[plain_text],
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Kept in the history."),
    )


class _SaneKeys:
    """Looks up nothing that can be no key; the field itself then says it is unknown."""

    field: Any

    def optgroups(self, name: str, value: list[Any], attr: Any = None) -> Any:
        sane = [key for key in value if key == "" or self._is_key(key)]
        return super().optgroups(name, sane, attr)  # type: ignore[misc]

    def _is_key(self, value: Any) -> bool:
        if "\x00" in str(value):  # PostgreSQL holds no text with it
            return False
        try:
            self.field.target_field.to_python(value)
        except ValidationError:
            return False
        return True


class RelatedSelect(_SaneKeys, AutocompleteSelect):  # type: ignore[misc]
    """Chooses one related row by search."""


class RelatedSelectMultiple(_SaneKeys, AutocompleteSelectMultiple):  # type: ignore[misc]
    """Chooses related rows by search."""


class SecretInput(UnfoldAdminPasswordWidget):
    """Never shows what is stored; an empty input counts as not sent, so it changes nothing."""

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return not data.get(name)


class SecretFormField(forms.CharField):
    """A credential to be set; the stored one appears only as its fingerprint."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.update(required=False, widget=SecretInput(attrs={"autocomplete": "new-password"}))
        kwargs.pop("initial", None)
        super().__init__(**kwargs)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)

    def prepare_value(self, value: Any) -> str:
        return ""

    def get_bound_field(self, form: Any, field_name: str) -> forms.BoundField:
        stored = getattr(form.instance, field_name, None)
        shown = fingerprint(stored if isinstance(stored, Secret) else None)
        self.help_text = (
            _("Stored: %(fingerprint)s. Leave empty to keep it.") % {"fingerprint": shown}
            if shown and form.instance.pk and not form.instance._state.adding
            else _("Nothing is stored.")
        )
        return super().get_bound_field(form, field_name)


class AddressInput(UnfoldAdminTextInputWidget):
    """Shows again what was typed only when it can be no URL, for one may hold a password."""

    def format_value(self, value: Any) -> str | None:
        can_be_address = set(str(value)) <= {*string.hexdigits, ".", ":"}
        shown: str | None = super().format_value(value) if can_be_address else None
        return shown


class AddressFormField(forms.GenericIPAddressField):
    """An IP address, alone; whatever else there is gets one answer, the field's `invalid`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "widget": AddressInput})

    def clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except ValidationError as error:
            if value in self.empty_values:
                raise
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class DecimalInput(UnfoldAdminTextInputWidget):
    """A text input for exact numbers: no rounding and no scroll wheel, zeros trimmed."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"inputmode": "decimal", **(attrs or {})})

    def format_value(self, value: Any) -> str | None:
        return plain(value) if value not in (None, "") else None


class DocumentFormField(forms.JSONField):
    """A JSON document; whatever the parser chokes on is the sender's error, not ours."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["widget"] = UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "false"})
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except (ValueError, RecursionError) as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except (ValueError, RecursionError):
            return forms.fields.InvalidJSONInput(data)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(super().has_changed(initial, data))
        except (ValueError, RecursionError):
            return True

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return json.dumps(value, ensure_ascii=False, indent=2)
