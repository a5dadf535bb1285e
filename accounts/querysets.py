"""Filters on one model of accounts."""

from django.db import models


class AccountQuerySet(models.QuerySet):
    """Exchange accounts."""

    def locked(self) -> "AccountQuerySet":
        """The rows in key order, locked until the transaction ends."""
        return self.order_by("pk").select_for_update(of=("self",))

    def syncable(self) -> "AccountQuerySet":
        """Accounts whose venue is enabled; paused and stopped ones are still watched."""
        return self.filter(exchange__is_enabled=True)


class PositionQuerySet(models.QuerySet):
    """Positions."""

    def live(self) -> "PositionQuerySet":
        """Positions at real venues, never simulated ones."""
        return self.filter(sandbox=False)

    def held(self) -> "PositionQuerySet":
        """Positions that are not flat."""
        return self.exclude(size=0)
