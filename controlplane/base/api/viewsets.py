"""Views of entities: read, write with an audit trail, and verbs that call services."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from controlplane.base import audit, edits, validators
from controlplane.base.api.serializers import ReasonSerializer
from controlplane.base.audit import Actor, Surface

REASON_HEADER: Final = "X-Reason"
MAX_REASON: Final = 500
KEY: Final = "[0-9a-z-]{1,64}"
"""What a key may look like in a path: a slug or a UUID."""


def actor_of(request: Request) -> Actor:
    """Return who is behind an API request."""
    return Actor(name=request.user.get_username(), surface=Surface.API, user_id=request.user.pk)


def reason_of(request: Request) -> str:
    """Return the reason given with a change; raises ValidationError for one that is no text."""
    reason = request.headers.get(REASON_HEADER, "").strip()
    try:
        reason = reason.encode("latin-1").decode("utf-8")
        validators.plain_text(reason)
    except (UnicodeError, DjangoValidationError):
        raise _bad_reason(_("The reason must be plain UTF-8 text.")) from None
    if len(reason) > MAX_REASON:
        raise _bad_reason(_("The reason is longer than 500 characters."))
    return reason


def asked_reason(request: Request) -> str:
    """Return the reason in a verb's body, which must hold nothing else."""
    given = ReasonSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    return str(given.validated_data["reason"])


def verb(permission: str, serializer: type[Serializer], *, status: int = 200) -> Callable[..., Any]:
    """Make a view method a POST verb of one row with a permission of its own."""

    def decorator(method: Callable[..., Response]) -> Any:
        as_action = action(["POST"], detail=True, required_permission=permission)(method)
        return extend_schema(request=ReasonSerializer, responses={status: serializer})(as_action)

    return decorator


def _bad_reason(message: Any) -> ValidationError:
    return ValidationError({REASON_HEADER: [ErrorDetail(message, code="invalid")]})


class ReadOnlyEntityViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    """An entity that machines write: lists and single rows."""

    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    lookup_value_regex = KEY
    required_permission: str | None = None

    def run_verb(self, verb: Callable[..., models.Model], name: str, status: int = 200) -> Response:
        """Call a service on this row with the actor and the reason asked for; show the row."""
        reason = asked_reason(self.request)
        row = verb(**{name: self.get_object()}, actor=actor_of(self.request), reason=reason)
        shown = self.get_serializer(self.get_queryset().get(pk=row.pk)).data
        return Response(shown, status=status)


class EntityViewSet(
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    ReadOnlyEntityViewSet,
):
    """An entity that people configure. Every change is one transaction with its audit context."""

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if self.action in {"partial_update", "destroy"}:
            return rows.select_for_update(of=("self",))
        return rows

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self.edit(audit.CREATED):
            return super().create(request, *args, **kwargs)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self.edit(audit.CHANGED):
            return super().partial_update(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self.edit(audit.DELETED):
            return super().destroy(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        self.announce(serializer.save(), audit.CREATED)

    def perform_update(self, serializer: Any) -> None:
        self.announce(serializer.save(), audit.CHANGED)

    def perform_destroy(self, instance: models.Model) -> None:
        key = instance.pk
        instance.delete()
        instance.pk = key
        self.announce(instance, audit.DELETED)

    def edit(self, action: audit.Action) -> AbstractContextManager[None]:
        """Open the transaction of a change, with who and why."""
        return edits.edit(action, actor=actor_of(self.request), reason=reason_of(self.request))

    def announce(self, row: models.Model, action: audit.Action) -> None:
        """Tell of the change, inside its transaction."""
        edits.announce(row, action, actor=actor_of(self.request), reason=reason_of(self.request))
