"""Filters on one model of hedging."""

from django.db import models


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
