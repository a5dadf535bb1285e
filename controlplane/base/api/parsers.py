"""JSON as we accept it: exact numbers, no doubles, no surprises, bounded."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import IO, Any, Final, NoReturn

from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NUMBER_LENGTH: Final = 400
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class BodyTooLarge(APIException):
    """The body is larger than we read."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):
    """Refuses what JSON does not define and what a stored document could not hold.

    NaN and Infinity, an object with one key twice, more than 32 levels, more than 1 MB, invalid
    UTF-8 and lone surrogates. Numbers with a point or an exponent become Decimal, never float.
    """

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Any = None,
    ) -> Any:
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(_("The body is larger than %(limit)d bytes.") % {"limit": MAX_BYTES})
        try:
            parsed = json.loads(
                body.decode("utf-8"),
                parse_float=_decimal,
                parse_int=_integer,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
        except RecursionError:
            raise ParseError(_too_deep()) from None
        except UnicodeDecodeError:
            raise ParseError(_("The body is not UTF-8.")) from None
        except ValueError as error:
            raise ParseError(_("The body is not JSON: %s.") % error) from None
        _walk(parsed, field="body", depth=0)
        return parsed


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text) if len(text) <= MAX_NUMBER_LENGTH else _refuse_number()
    except InvalidOperation:
        _refuse_number()


def _integer(text: str) -> int:
    return int(text) if len(text) <= MAX_NUMBER_LENGTH else _refuse_number()


def _refuse_number() -> NoReturn:
    raise ParseError(_("A number in the body is too long."))


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(_("%s is not JSON.") % name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ParseError(_("An object in the body has one key twice."))
    return made


def _walk(value: Any, *, field: str, depth: int) -> None:
    """Refuse depth and lone surrogates anywhere; the error names the topmost field."""
    if depth > MAX_DEPTH:
        raise ParseError(_too_deep())
    if isinstance(value, str):
        _check_text(value, field)
    elif isinstance(value, list):
        for item in value:
            _walk(item, field=field, depth=depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, field)
            _walk(item, field=field if depth else key, depth=depth + 1)


def _check_text(text: str, field: str) -> None:
    if _SURROGATE.search(text):
        problem = ErrorDetail(_("A text holds half of a surrogate pair."), code="lone_surrogate")
        raise ValidationError({field: [problem]})


def _too_deep() -> str:
    return _("The body is nested deeper than %(limit)d levels.") % {"limit": MAX_DEPTH}
