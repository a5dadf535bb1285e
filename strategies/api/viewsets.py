"""Views of modules, allocations and intents."""

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base.api.viewsets import EntityViewSet, ReadOnlyEntityViewSet, verb
from strategies import closing, lifecycle
from strategies.api import filtersets, serializers
from strategies.models import (
    AccountAllocation,
    OrderIntent,
    QuarantinedAnswer,
    RiskLimit,
    StrategyModule,
    UnknownClosure,
)


class ModuleViewSet(EntityViewSet):
    """Strategies with their configuration."""

    queryset = StrategyModule.objects.all()
    serializer_class = serializers.ModuleSerializer
    filterset_class = filtersets.ModuleFilters

    @verb("strategies.enable_strategymodule", serializers.ModuleSerializer)
    def enable(self, request: Request, pk: str) -> Response:
        """Let this module signal."""
        return self.run_verb(lifecycle.module_enable, "module")

    @verb("strategies.disable_strategymodule", serializers.ModuleSerializer)
    def disable(self, request: Request, pk: str) -> Response:
        """Stop this module."""
        return self.run_verb(lifecycle.module_disable, "module")


class AllocationViewSet(EntityViewSet):
    """Which module may use which share of which account."""

    queryset = AccountAllocation.objects.all()
    serializer_class = serializers.AllocationSerializer
    filterset_class = filtersets.AllocationFilters


class LimitViewSet(EntityViewSet):
    """What an instrument, a venue, a module, an account or the firm may hold and send."""

    queryset = RiskLimit.objects.all()
    serializer_class = serializers.LimitSerializer
    filterset_class = filtersets.LimitFilters


class IntentViewSet(ReadOnlyEntityViewSet):
    """Wishes for orders and their life."""

    queryset = OrderIntent.objects.all()
    serializer_class = serializers.IntentSerializer
    filterset_class = filtersets.IntentFilters

    @verb("strategies.propose_close_orderintent", serializers.IntentSerializer)
    def propose_close(self, request: Request, pk: str) -> Response:
        """Propose to take this order of unknown fate for not accepted."""
        return self.run_verb(closing.close_propose, "intent")

    @verb("strategies.confirm_close_orderintent", serializers.IntentSerializer)
    def confirm_close(self, request: Request, pk: str) -> Response:
        """Take this order for not accepted, as another person proposed."""
        return self.run_verb(closing.close_confirm, "intent")


class QuarantinedAnswerViewSet(ReadOnlyEntityViewSet):
    """What venues said of orders and was not believed."""

    queryset = QuarantinedAnswer.objects.all()
    serializer_class = serializers.QuarantinedAnswerSerializer
    filterset_class = filtersets.QuarantinedAnswerFilters


class UnknownClosureViewSet(ReadOnlyEntityViewSet):
    """Orders of unknown fate that people closed, or propose to."""

    queryset = UnknownClosure.objects.all()
    serializer_class = serializers.UnknownClosureSerializer
    filterset_class = filtersets.UnknownClosureFilters
