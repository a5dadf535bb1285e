"""Rules for texts and documents that people and programs send us."""

import json
import math
import unicodedata
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

MAX_DOCUMENT_BYTES: Final = 64 * 1024
MAX_DOCUMENT_DEPTH: Final = 32

slug = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z",
    message=_("Use 1 to 64 lower-case letters, digits and hyphens; begin and end with no hyphen."),
    code="invalid_slug",
)
asset = RegexValidator(
    r"\A[A-Za-z0-9]{1,20}\Z",
    message=_("Use 1 to 20 letters and digits, such as BTC."),
    code="invalid_asset",
)


def plain_text(value: str) -> None:
    """Refuse control characters and those that turn the reading direction or hide."""
    for character in dict.fromkeys(value):  # each kind once: a text may be a megabyte long
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and (
            character not in "\n\t\r"
        ):
            raise ValidationError(
                _("Control and invisible characters are not allowed (U+%(code)04X)."),
                code="control_character",
                params={"code": ord(character)},
            )


def document(value: Any) -> None:
    """Refuse JSON that PostgreSQL cannot hold or nobody can read: NUL, NaN, too deep, too big."""
    _check(value, depth=0)
    if len(json.dumps(value)) > MAX_DOCUMENT_BYTES:
        raise ValidationError(
            _("The document is larger than %(limit)d bytes."),
            code="document_too_large",
            params={"limit": MAX_DOCUMENT_BYTES},
        )


def _check(value: Any, *, depth: int) -> None:
    if depth > MAX_DOCUMENT_DEPTH:
        raise ValidationError(
            _("The document is nested deeper than %(limit)d levels."),
            code="document_too_deep",
            params={"limit": MAX_DOCUMENT_DEPTH},
        )
    if isinstance(value, dict):
        for key, item in value.items():
            plain_text(key)
            _check(item, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth=depth + 1)
    elif isinstance(value, str):
        plain_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValidationError(_("NaN and Infinity are not JSON."), code="not_finite")
    elif isinstance(value, int) and abs(value) >= 10**30:
        raise ValidationError(_("A number has more than 30 digits."), code="number_too_large")
