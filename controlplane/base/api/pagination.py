"""Pages by key: as quick on page one thousand as on page one."""

from typing import Any, Final

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from controlplane.base.api.fields import key_of
from controlplane.base.fields import UUIDKey

MAX_LIMIT: Final = 500


class CursorPages(CursorPagination):
    """`?limit=` rows from `?cursor=` on; UUIDv7 keys newest first, slugs in order."""

    page_size = 100
    max_page_size = MAX_LIMIT
    page_size_query_param = "limit"
    page_size_query_description: Any = _("Rows per page, 1 to 500.")
    cursor_query_description: Any = _("Where to go on: taken from `next` or `previous`.")

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        return ("-pk",) if isinstance(key_of(queryset.model), UUIDKey) else ("pk",)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        self.key = self.position_field(queryset.model)
        return super().paginate_queryset(queryset, request, view)

    def position_field(self, model: type[models.Model]) -> Any:
        """Return the column a cursor's position is a value of."""
        return key_of(model)

    def get_page_size(self, request: Request) -> int | None:
        given = request.query_params.get("limit")
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and len(given) <= 3 and 1 <= int(given) <= 500):
            raise _invalid("limit", _("limit must be a whole number from 1 to 500."))
        return int(given)

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                self.key.clean(cursor.position, None)
        except (NotFound, DjangoValidationError):
            raise _invalid("cursor", _("This is not a cursor of this list.")) from None
        return cursor


def _invalid(parameter: str, message: Any) -> ValidationError:
    return ValidationError({parameter: [ErrorDetail(message, code="invalid")]})
