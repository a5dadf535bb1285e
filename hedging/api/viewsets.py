"""Views of hedges, fills and breaks."""

from controlplane.base.api.viewsets import ReadOnlyEntityViewSet
from hedging.api import filtersets, serializers
from hedging.models import Fill, HedgeExecution, ReconciliationBreak


class HedgeExecutionViewSet(ReadOnlyEntityViewSet):
    """Decisions to hedge and what came of them."""

    queryset = HedgeExecution.objects.prefetch_related("intents")
    serializer_class = serializers.HedgeExecutionSerializer
    filterset_class = filtersets.HedgeExecutionFilters


class FillViewSet(ReadOnlyEntityViewSet):
    """Trades at venues, ours and others'."""

    queryset = Fill.objects.all()
    serializer_class = serializers.FillSerializer
    filterset_class = filtersets.FillFilters


class BreakViewSet(ReadOnlyEntityViewSet):
    """Differences between our record and a venue's."""

    queryset = ReconciliationBreak.objects.all()
    serializer_class = serializers.BreakSerializer
    filterset_class = filtersets.BreakFilters
