"""Stop rules over the API."""

from controlplane.base.api.filtersets import EntityFilterSet
from controlplane.base.api.serializers import EntitySerializer
from controlplane.base.api.viewsets import EntityViewSet
from hedging.models import StopRule


class StopRuleSerializer(EntitySerializer):
    """`threshold` is a ratio (margin), orders (rejects), USD (mismatch) or seconds (stale data)."""

    class Meta:
        model = StopRule
        fields = (
            "stop_rule_id",
            "trigger",
            "account",
            "threshold",
            "window_seconds",
            "confirmations",
            "scope",
            "action",
            "is_enabled",
            "created_at",
            "updated_at",
        )


class StopRuleFilters(EntityFilterSet):
    class Meta:
        model = StopRule
        fields = ("trigger", "account", "scope", "action", "is_enabled", "created_at", "updated_at")


class StopRuleViewSet(EntityViewSet):
    """When accounts are stopped by themselves; what a rule has held a person lets go."""

    queryset = StopRule.objects.all()
    serializer_class = StopRuleSerializer
    filterset_class = StopRuleFilters
