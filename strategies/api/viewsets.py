"""Views of modules, allocations and intents."""

from controlplane.base.api.viewsets import EntityViewSet, ReadOnlyEntityViewSet
from strategies.api import filtersets, serializers
from strategies.models import AccountAllocation, OrderIntent, StrategyModule


class ModuleViewSet(EntityViewSet):
    """Strategies with their configuration."""

    queryset = StrategyModule.objects.all()
    serializer_class = serializers.ModuleSerializer
    filterset_class = filtersets.ModuleFilters


class AllocationViewSet(EntityViewSet):
    """Which module may use which share of which account."""

    queryset = AccountAllocation.objects.all()
    serializer_class = serializers.AllocationSerializer
    filterset_class = filtersets.AllocationFilters


class IntentViewSet(ReadOnlyEntityViewSet):
    """Wishes for orders and their life."""

    queryset = OrderIntent.objects.all()
    serializer_class = serializers.IntentSerializer
    filterset_class = filtersets.IntentFilters
