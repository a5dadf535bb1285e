"""Filters on one model of strategies."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from strategies.domain.intent import TERMINAL_STATES


class ModuleQuerySet(models.QuerySet):
    """Strategy modules."""

    def enabled(self) -> "ModuleQuerySet":
        return self.filter(status="enable")


class LimitQuerySet(models.QuerySet):
    """Risk limits."""

    def over(
        self, *, venue_id: Any, account_id: Any, module_id: Any, instrument_id: Any
    ) -> "LimitQuerySet":
        """The limits that an order with these ids falls under."""
        return self.filter(
            Q(scope="firm")
            | Q(venue=venue_id)
            | Q(account=account_id)
            | Q(module=module_id)
            | Q(instrument=instrument_id)
        )

    def locked(self) -> "LimitQuerySet":
        """Lock the rows in order: orders under one limit are claimed one after the other."""
        return self.order_by("pk").select_for_update(of=("self",), no_key=True)


class IntentQuerySet(models.QuerySet):
    """Order intents."""

    def in_flight(self) -> "IntentQuerySet":
        """Intents that may still change what we hold."""
        return self.exclude(state__in=[str(state) for state in TERMINAL_STATES])

    def live(self) -> "IntentQuerySet":
        """Intents for real venues."""
        return self.filter(sandbox=False)

    def sending(self) -> "IntentQuerySet":
        """Intents claimed by a worker that has not yet told what came of the send."""
        return self.filter(submission="sending")

    def unknown(self) -> "IntentQuerySet":
        """Intents whose send may or may not have happened."""
        return self.filter(submission="unknown")

    def sent_within(self, window: timedelta | models.Expression) -> "IntentQuerySet":
        """Intents claimed for sending so lately, by the database's clock."""
        since = models.ExpressionWrapper(Now() - window, output_field=models.DateTimeField())
        return self.filter(signed_at__gte=since)
