"""Emergency stops over the API: engaged by a POST, released by a verb, never edited."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base import validators
from controlplane.base.api.fields import ChoiceField, FlagField, TextField
from controlplane.base.api.filtersets import EntityFilterSet
from controlplane.base.api.serializers import EntitySerializer, ReasonSerializer
from controlplane.base.api.viewsets import ReadOnlyEntityViewSet, actor_of, verb
from hedging.domain.emergency import StopScope
from hedging.emergency.verbs import stop_engage, stop_release
from hedging.models import EmergencyStop, StoppedAccount


class StopSerializer(EntitySerializer):
    class Meta:
        model = EmergencyStop
        fields = (
            "stop_id",
            "scope",
            "target",
            "trigger",
            "state",
            "flatten",
            "drill",
            "reason",
            "engaged_by",
            "released_by",
            "release_reason",
            "created_at",
            "latched_at",
            "released_at",
        )
        read_only_fields = fields


class StoppedAccountSerializer(EntitySerializer):
    class Meta:
        model = StoppedAccount
        fields = (
            "row_id",
            "stop",
            "account",
            "book",
            "prior_status",
            "state",
            "blocked_at",
            "cancelled_at",
            "flat_at",
            "confirmed_at",
            "deadline_at",
            "residual",
            "attempts",
            "last_error",
        )
        read_only_fields = fields


class EngageSerializer(ReasonSerializer):
    """What to stop, and why."""

    scope = ChoiceField(
        choices=[str(scope) for scope in StopScope], help_text=_("What kind of thing to stop.")
    )
    target = TextField(
        max_length=80,
        required=False,
        allow_blank=True,
        default="",
        validators=[validators.plain_text],
        help_text=_("Which account, book, venue or module; nothing for all."),
    )
    flatten = FlagField(default=True, help_text=_("Close positions too."))
    drill = FlagField(default=False, help_text=_("On accounts of paper venues only, to try it."))


class StopFilters(EntityFilterSet):
    class Meta:
        model = EmergencyStop
        fields = ("scope", "target", "trigger", "state", "drill", "created_at", "released_at")


class StoppedAccountFilters(EntityFilterSet):
    class Meta:
        model = StoppedAccount
        fields = ("stop", "account", "book", "state", "blocked_at", "confirmed_at")


class EmergencyStopViewSet(ReadOnlyEntityViewSet):
    """Emergency stops. One that stands already for the same scope is returned as it is."""

    queryset = EmergencyStop.objects.all()
    serializer_class = StopSerializer
    filterset_class = StopFilters

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.action == "create":
            self.required_permission = "hedging.engage_emergencystop"
        super().initial(request, *args, **kwargs)

    @extend_schema(request=EngageSerializer, responses={201: StopSerializer})
    def create(self, request: Request) -> Response:
        """Stop everything in a scope now."""
        given = EngageSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        stop = stop_engage(**given.validated_data, actor=actor_of(request))
        return Response(self.get_serializer(stop).data, status=201)

    @verb("hedging.release_emergencystop", StopSerializer)
    def release(self, request: Request, pk: str) -> Response:
        """Let the accounts of this stop trade as before."""
        return self.run_verb(stop_release, "stop")


class StoppedAccountViewSet(ReadOnlyEntityViewSet):
    """Accounts of emergency stops; one without `confirmedAt` is NOT confirmed by its venue."""

    queryset = StoppedAccount.objects.all()
    serializer_class = StoppedAccountSerializer
    filterset_class = StoppedAccountFilters
