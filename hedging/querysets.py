"""Filters on one model of hedging."""

from datetime import datetime

from django.db import models
from django.db.models import Q


class ExecutionQuerySet(models.QuerySet):
    """Hedge executions."""

    def running(self) -> "ExecutionQuerySet":
        """Hedges that have no result yet."""
        return self.filter(result__isnull=True)


class FillQuerySet(models.QuerySet):
    """Fills."""

    def external(self) -> "FillQuerySet":
        """Trades nobody here asked for."""
        return self.filter(intent__isnull=True)


class BreakQuerySet(models.QuerySet):
    """Differences between our record and a venue's."""

    def open(self) -> "BreakQuerySet":
        """Those nobody and nothing has settled."""
        return self.filter(status="open")


class ThrottleQuerySet(models.QuerySet):
    """Hedge throttles."""

    def standing(self) -> "ThrottleQuerySet":
        """Those nobody has released."""
        return self.filter(released_at__isnull=True)


class DustQuerySet(models.QuerySet):
    """Dust."""

    def open(self) -> "DustQuerySet":
        """What is dust now."""
        return self.filter(closed_at__isnull=True)


class RuleQuerySet(models.QuerySet):
    """Stop rules."""

    def enabled(self) -> "RuleQuerySet":
        """Those that are watched."""
        return self.filter(is_enabled=True)


class StopQuerySet(models.QuerySet):
    """Emergency stops."""

    def standing(self) -> "StopQuerySet":
        """Those nobody has released."""
        return self.exclude(state="released")


class StoppedQuerySet(models.QuerySet):
    """Accounts of emergency stops."""

    def standing(self) -> "StoppedQuerySet":
        """Those that are still held."""
        return self.exclude(state="released")

    def unfinished(self) -> "StoppedQuerySet":
        """Those whose venue has not confirmed yet that nothing is left."""
        return self.exclude(state__in=["latched", "released"])

    def free(self, now: datetime) -> "StoppedQuerySet":
        """Unfinished ones that no living process works on."""
        return self.unfinished().filter(Q(leased_until=None) | Q(leased_until__lt=now))

    def due(self, now: datetime) -> "StoppedQuerySet":
        """Those to work on now."""
        return self.free(now).filter(next_try_at__lte=now)
