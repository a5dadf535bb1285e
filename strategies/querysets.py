"""Filters on one model of strategies."""

from django.db import models

from strategies.domain.intent import TERMINAL_STATES


class ModuleQuerySet(models.QuerySet):
    """Strategy modules."""

    def enabled(self) -> "ModuleQuerySet":
        return self.filter(status="enable")


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
