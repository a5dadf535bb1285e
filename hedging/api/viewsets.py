"""Views of hedges, fills and breaks."""

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base.api.viewsets import ReadOnlyEntityViewSet, verb
from hedging.api import filtersets, serializers
from hedging.models import Fill, HedgeExecution, ReconciliationBreak, ResolutionStep
from hedging.services import break_accept, break_take


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

    @verb("hedging.take_reconciliationbreak", serializers.BreakSerializer)
    def take(self, request: Request, pk: str) -> Response:
        """Make you the owner of this break."""
        return self.run_verb(break_take, "reconciliation_break")

    @verb("hedging.accept_reconciliationbreak", serializers.BreakSerializer)
    def accept(self, request: Request, pk: str) -> Response:
        """Close this break: what the venue says holds."""
        return self.run_verb(break_accept, "reconciliation_break")


class ResolutionStepViewSet(ReadOnlyEntityViewSet):
    """Looks for orders of unknown fate, and what each proved."""

    queryset = ResolutionStep.objects.all()
    serializer_class = serializers.ResolutionStepSerializer
    filterset_class = filtersets.ResolutionStepFilters
