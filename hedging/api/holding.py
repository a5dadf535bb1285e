"""What keeps books from being hedged, over the API: throttles, released by a verb, and dust."""

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.base.api.filtersets import EntityFilterSet
from controlplane.base.api.serializers import EntitySerializer
from controlplane.base.api.viewsets import ReadOnlyEntityViewSet, verb
from hedging.models import HedgeDust, HedgeThrottle
from hedging.services import throttle_release


class ThrottleSerializer(EntitySerializer):
    class Meta:
        model = HedgeThrottle
        fields = (
            "throttle_id",
            "scope",
            "target",
            "cause",
            "count",
            "tripped_at",
            "released_at",
            "released_by",
            "release_reason",
        )
        read_only_fields = fields


class DustSerializer(EntitySerializer):
    class Meta:
        model = HedgeDust
        fields = (
            "dust_id",
            "book",
            "symbol",
            "delta_base",
            "delta_btc",
            "skipped",
            "since",
            "seen_at",
            "closed_at",
        )
        read_only_fields = fields


class ThrottleFilters(EntityFilterSet):
    class Meta:
        model = HedgeThrottle
        fields = ("scope", "target", "cause", "tripped_at", "released_at")


class DustFilters(EntityFilterSet):
    class Meta:
        model = HedgeDust
        fields = ("book", "symbol", "since", "closed_at")


class ThrottleViewSet(ReadOnlyEntityViewSet):
    """Hedging that ran wild; off until a person releases it."""

    queryset = HedgeThrottle.objects.all()
    serializer_class = ThrottleSerializer
    filterset_class = ThrottleFilters

    @verb("hedging.release_hedgethrottle", ThrottleSerializer)
    def release(self, request: Request, pk: str) -> Response:
        """Let what this throttle holds be hedged by itself again."""
        return self.run_verb(throttle_release, "throttle")


class DustViewSet(ReadOnlyEntityViewSet):
    """What is out of its threshold and below every contract's minimum."""

    queryset = HedgeDust.objects.all()
    serializer_class = DustSerializer
    filterset_class = DustFilters
