"""Views of accounts and what belongs to them."""

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import lifecycle, proxies
from accounts.api import filtersets, serializers
from accounts.jobs import session_check_request, sync_request
from accounts.models import (
    AccountState,
    AccountSyncJob,
    EquitySample,
    ExchangeAccount,
    FundingPayment,
    Position,
    ProxyProfile,
    ProxySession,
    RiskEnvelope,
    StopLossConfig,
    Transfer,
)
from accounts.selectors import account_after
from controlplane.base.api.viewsets import EntityViewSet, ReadOnlyEntityViewSet, verb


class ProxyProfileViewSet(EntityViewSet):
    """Pools of proxies."""

    queryset = ProxyProfile.objects.prefetch_related("venues")
    serializer_class = serializers.ProxyProfileSerializer
    filterset_class = filtersets.ProxyProfileFilters


class ProxySessionViewSet(EntityViewSet):
    """Exits: addresses with their credentials."""

    queryset = ProxySession.objects.prefetch_related("accounts")
    serializer_class = serializers.ProxySessionSerializer
    filterset_class = filtersets.ProxySessionFilters

    @verb("accounts.rotate_proxysession", serializers.ProxySessionSerializer)
    def rotate(self, request: Request, pk: str) -> Response:
        """Move the accounts of this session to the others of its profile."""
        return self.run_verb(proxies.session_rotate, "session")

    @verb("accounts.fail_proxysession", serializers.ProxySessionSerializer)
    def fail(self, request: Request, pk: str) -> Response:
        """Take this session out of use; its accounts move or pause."""
        return self.run_verb(proxies.session_fail, "session")

    @verb("accounts.check_proxysession", serializers.ProxySessionSerializer, status=202)
    def check(self, request: Request, pk: str) -> Response:
        """Queue a check of this session, which takes it back when it is well."""
        return self.run_verb(session_check_request, "session", status=202)


class StopLossConfigViewSet(EntityViewSet):
    """When to stop losing, and what to do then."""

    queryset = StopLossConfig.objects.all()
    serializer_class = serializers.StopLossConfigSerializer
    filterset_class = filtersets.StopLossConfigFilters


class AccountViewSet(EntityViewSet):
    """Accounts at venues."""

    queryset = ExchangeAccount.objects.all()
    serializer_class = serializers.AccountSerializer
    filterset_class = filtersets.AccountFilters

    @verb("accounts.pause_exchangeaccount", serializers.AccountSerializer)
    def pause(self, request: Request, pk: str) -> Response:
        """Stop new orders of this account."""
        return self.run_verb(lifecycle.account_pause, "account")

    @verb("accounts.resume_exchangeaccount", serializers.AccountSerializer)
    def resume(self, request: Request, pk: str) -> Response:
        """Let this account trade again."""
        return self.run_verb(lifecycle.account_resume, "account")

    @verb("accounts.reroute_exchangeaccount", serializers.AccountSerializer)
    def reroute(self, request: Request, pk: str) -> Response:
        """Move this account to another session of its proxy profile."""
        return self.run_verb(proxies.session_assign, "account")

    @extend_schema(
        parameters=[serializers.WhatIfQuery], responses=serializers.WhatIfSerializer, filters=False
    )
    @action(detail=True, url_path="what-if", pagination_class=None, filter_backends=())
    def what_if(self, request: Request, pk: str) -> Response:
        """Return what a move of all prices would make of this account; nothing is changed."""
        asked = serializers.WhatIfQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        if unknown := set(request.query_params) - {"move"}:
            raise ValidationError({name: [_("There is no such parameter.")] for name in unknown})
        move = asked.validated_data["move"]
        after = account_after(self.get_object(), move=move / 100)
        return Response(serializers.WhatIfSerializer(after).data)

    @verb("accounts.sync_exchangeaccount", serializers.AccountSerializer, status=202)
    def sync(self, request: Request, pk: str) -> Response:
        """Queue a sync of this account now."""
        return self.run_verb(sync_request, "account", status=202)


class RiskEnvelopeViewSet(EntityViewSet):
    """The limits of one account; made with it and never without it."""

    queryset = RiskEnvelope.objects.all()
    serializer_class = serializers.RiskEnvelopeSerializer
    filterset_class = filtersets.RiskEnvelopeFilters
    http_method_names = ["get", "post", "patch", "head", "options"]


class SyncJobViewSet(ReadOnlyEntityViewSet):
    """Attempts to read accounts."""

    queryset = AccountSyncJob.objects.all()
    serializer_class = serializers.SyncJobSerializer
    filterset_class = filtersets.SyncJobFilters


class AccountStateViewSet(ReadOnlyEntityViewSet):
    """The last truth known of each account; null is unknown, never zero."""

    queryset = AccountState.objects.all()
    serializer_class = serializers.AccountStateSerializer
    filterset_class = filtersets.AccountStateFilters


class PositionViewSet(ReadOnlyEntityViewSet):
    """What accounts hold; sizes are signed base amounts, long positive."""

    queryset = Position.objects.all()
    serializer_class = serializers.PositionSerializer
    filterset_class = filtersets.PositionFilters


class EquitySampleViewSet(ReadOnlyEntityViewSet):
    """Equity over time."""

    queryset = EquitySample.objects.all()
    serializer_class = serializers.EquitySampleSerializer
    filterset_class = filtersets.EquitySampleFilters


class FundingPaymentViewSet(ReadOnlyEntityViewSet):
    """Funding booked to accounts, each settlement once."""

    queryset = FundingPayment.objects.all()
    serializer_class = serializers.FundingPaymentSerializer
    filterset_class = filtersets.FundingPaymentFilters


class TransferViewSet(ReadOnlyEntityViewSet):
    """Money that accounts got from outside (negative: gave away), each transfer once."""

    queryset = Transfer.objects.all()
    serializer_class = serializers.TransferSerializer
    filterset_class = filtersets.TransferFilters
