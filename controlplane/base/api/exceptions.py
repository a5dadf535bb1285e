"""One shape for every error: `{"code", "message", "details"}`.

For a refused body `details` is field -> list of `{"code", "message"}`, in wire names.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, models
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.exceptions import ErrorDetail
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from controlplane.base.api.wire import camel, wire_names
from controlplane.kernel.errors import Conflict, ControlPlaneError, Denied
from controlplane.kernel.secrets import redact

logger = logging.getLogger(__name__)
API_PREFIX: Final = "/api/"
MAX_MESSAGE: Final = 300
MAX_BLOCKERS: Final = 20
FIELD_CODE: Final = re.compile(r"\A(?P<field>[a-z][a-z0-9_]*):(?P<rule>[a-z_]+)\Z")


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn an exception of a view into its answer; None for a bug, which becomes a 500."""
    answer = _answer(error)
    if answer is None:
        return None
    set_rollback()
    return answer


def _answer(error: Exception) -> Response | None:
    if isinstance(error, exceptions.ValidationError):
        return _invalid(error.get_full_details())
    if isinstance(error, exceptions.APIException):
        return _api_error(error)
    if isinstance(error, Http404):
        return _response(404, "not_found", _("There is no such entry."))
    if isinstance(error, PermissionDenied):
        return _response(403, "permission_denied", _("You may not do this."))
    if isinstance(error, DjangoValidationError):
        return _invalid(field_errors(error, {}))
    if isinstance(error, ControlPlaneError):
        return _response(_refusal_status(error), error.code, error.message, error.details)
    if isinstance(error, models.ProtectedError):
        return _protected(error)
    if isinstance(error, IntegrityError):
        return _constraint(error)
    if isinstance(error, DataError):
        return _response(400, "invalid", _("A value does not fit its column."))
    return None


def _refusal_status(error: ControlPlaneError) -> int:
    if isinstance(error, Conflict):
        return status.HTTP_409_CONFLICT
    return status.HTTP_422_UNPROCESSABLE_ENTITY if isinstance(error, Denied) else 400


def _api_error(error: exceptions.APIException) -> Response:
    code = error.get_codes()
    answer = _response(
        error.status_code,
        code if isinstance(code, str) else error.default_code,
        str(error.detail) if isinstance(error.detail, str) else str(error.default_detail),
    )
    if header := getattr(error, "auth_header", None):
        answer["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        answer["Retry-After"] = str(int(wait))
    return answer


def _protected(error: models.ProtectedError) -> Response:
    rows = sorted(error.protected_objects, key=lambda row: (row._meta.label, str(row.pk)))
    blockers = [{"entity": row._meta.object_name, "id": str(row.pk)} for row in rows[:MAX_BLOCKERS]]
    message = _("%(count)d other entries need this one.") % {"count": len(rows)}
    return _response(409, "protected", message, {"blockers": blockers, "count": len(rows)})


def _constraint(error: IntegrityError) -> Response:
    """Name the field of a constraint that a concurrent change broke after our own checks."""
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    for model, constraint in _constraints():
        if name == constraint.name:
            found = FIELD_CODE.match(constraint.violation_error_code or "")
            field = wire_names(model).get(found["field"]) if found else None
            problem = {
                "code": found["rule"] if found else "constraint",
                "message": str(constraint.violation_error_message),
            }
            key = field or api_settings.NON_FIELD_ERRORS_KEY
            return _response(409, "conflict", problem["message"], {key: [problem]})
    logger.warning("A write broke a rule of the database: %s", redact(str(error)))
    return _response(409, "conflict", _("The change breaks a rule of the database."))


def _constraints() -> Iterator[tuple[type[models.Model], models.BaseConstraint]]:
    from django.apps import apps  # the registry is ready only at run time

    for model in apps.get_models():
        for constraint in model._meta.constraints:
            yield model, constraint


def _invalid(details: Any) -> Response:
    flat: dict[str, list[dict[str, str]]] = {}
    for field, problem in _flatten(details, ""):
        flat.setdefault(field, []).append(
            {"code": str(problem["code"]), "message": _shorten(str(problem["message"]))}
        )
    return _response(400, "invalid", _("The request was refused."), flat)


def _flatten(details: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(details, Mapping) and set(details) == {"code", "message"}:
        yield place or api_settings.NON_FIELD_ERRORS_KEY, details
    elif isinstance(details, Mapping):
        for key, value in details.items():
            yield from _flatten(value, f"{place}.{key}" if place else str(key))
    else:
        for item in details:
            yield from _flatten(item, place)


def field_errors(
    error: DjangoValidationError, names: Mapping[str, str]
) -> dict[str, list[ErrorDetail]]:
    """Return a model's complaints by wire name, the `field:` of a constraint's code taken off."""
    found: dict[str, list[ErrorDetail]] = {}
    by_field = error.error_dict if hasattr(error, "error_dict") else {"": error.error_list}
    for name, problems in by_field.items():
        for problem in problems:
            matched = FIELD_CODE.match(problem.code or "")
            code = matched["rule"] if matched else (problem.code or "invalid")
            text = ErrorDetail("; ".join(problem.messages), code=code)
            for field in _fields_of(name, problem):
                wire = names.get(field, camel(field)) or api_settings.NON_FIELD_ERRORS_KEY
                found.setdefault(wire, []).append(text)
    return found


def _fields_of(name: str, problem: DjangoValidationError) -> list[str]:
    """Return the fields a complaint is about: those of a broken unique pair, else its own."""
    if name and name != NON_FIELD_ERRORS:
        return [name]
    return list((problem.params or {}).get("unique_check", ("",)))


def _response(
    code: int, error: str, message: str, details: Mapping[str, Any] | None = None
) -> Response:
    return Response(_body(error, message, details), status=code)


def _body(error: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"code": error, "message": _shorten(message), "details": dict(details or {})}


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(API_PREFIX)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request Django itself refuses (host, headers, size)."""
    if _is_api(request):
        return JsonResponse(_body("bad_request", _("The request was refused.")), status=400)
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path that leads nowhere."""
    if _is_api(request):
        return JsonResponse(_body("not_found", _("There is no such path.")), status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after a bug of ours, telling nothing about it."""
    if _is_api(request):
        return JsonResponse(_body("error", _("The server failed; it was logged.")), status=500)
    return defaults.server_error(request)


def locked_out(request: HttpRequest, *_details: Any) -> HttpResponse:
    """Answer a sign-in while its user and address are locked after too many failures."""
    text = _("Too many failed sign-ins; try again later.")
    if _is_api(request):
        return JsonResponse(_body("throttled", text), status=429)
    return HttpResponse(text, status=429, content_type="text/plain; charset=utf-8")
