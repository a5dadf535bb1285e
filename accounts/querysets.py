"""Filters on one model of accounts."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Exists, ExpressionWrapper, F, OuterRef, Q

from accounts.choices import ProxyStatus, SyncProblem

ACCOUNT_SECRETS = ("public_key", "api_key", "api_secret", "passphrase", "agent_key")
UNREACHED = [
    str(problem)
    for problem in (SyncProblem.NOT_SENT, SyncProblem.PROXY_REFUSED, SyncProblem.VENUE_UNAVAILABLE)
]
"""Problems of a look that could not ask: the venue or the way there was away."""
REQUEUE_AFTER = timedelta(minutes=5)
"""A queued sync that has not begun by then is taken for lost."""


class AccountQuerySet(models.QuerySet):
    """Exchange accounts."""

    def locked(self) -> "AccountQuerySet":
        """The rows in key order, locked until the transaction ends."""
        return self.order_by("pk").select_for_update(of=("self",))

    def without_keys(self) -> "AccountQuerySet":
        """Without the credentials, for where nothing is signed: each would be decrypted."""
        return self.defer(*ACCOUNT_SECRETS)

    def syncable(self) -> "AccountQuerySet":
        """Accounts whose venue is enabled; paused and stopped ones are still watched."""
        return self.filter(exchange__is_enabled=True)

    def astray(self) -> "AccountQuerySet":
        """Accounts whose proxy session is not one of their profile that they may stay on."""
        stays = Q(
            proxy_session__status=ProxyStatus.ACTIVE,
            proxy_session__proxy_profile=F("proxy_profile"),
        )
        allowed = self.model._default_manager.filter(pk=OuterRef("pk"))
        allowed = allowed.filter(
            Q(proxy_profile__venues=None) | Q(proxy_profile__venues=F("exchange"))
        )
        astray = Q(proxy_profile=None, proxy_session__isnull=False) | (
            Q(proxy_profile__isnull=False) & (Q(proxy_session=None) | ~stays | ~Exists(allowed))
        )
        return self.filter(astray)

    def for_sync(self) -> "AccountQuerySet":
        """With all that a client of the account is made of."""
        return self.select_related("exchange", "proxy_session__proxy_profile", "state")


def is_unreached() -> Q:
    """Return whether the last look at an account, by its state, could not ask everything."""
    return Q(last_error_code__in=UNREACHED)


class StateQuerySet(models.QuerySet):
    """What is known of accounts."""

    def sync_due(self, now: datetime) -> "StateQuerySet":
        """States of syncable accounts whose interval has passed and that have no sync queued.

        Those that a start owes a look are the sentinel's: it does not wait for workers, and what
        is asked of a venue is limited.
        """
        next_sync = ExpressionWrapper(
            F("sync_started_at") + F("account__sync_interval_seconds") * timedelta(seconds=1),
            output_field=models.DateTimeField(),
        )
        owed = Q(reconciled_at__lt=F("recovery_at"))
        begun = Q(sync_queued_at=None) | Q(sync_queued_at__lte=F("sync_started_at"))
        lost = Q(sync_queued_at__lte=now - REQUEUE_AFTER)
        return (
            self.filter(account__exchange__is_enabled=True)
            .alias(next_sync=next_sync)
            .filter(begun | lost, Q(sync_started_at=None) | Q(next_sync__lte=now))
            .filter(Q(recovery_at=None) | Q(reconciled_at=None) | ~owed)
        )


class PositionQuerySet(models.QuerySet):
    """Positions."""

    def live(self) -> "PositionQuerySet":
        """Positions at real venues, never simulated ones."""
        return self.filter(sandbox=False)

    def held(self) -> "PositionQuerySet":
        """Positions that are not flat."""
        return self.exclude(size=0)


class SessionQuerySet(models.QuerySet):
    """Proxy sessions."""

    def locked(self) -> "SessionQuerySet":
        """The rows in key order, locked until the transaction ends."""
        return self.order_by("pk").select_for_update(of=("self",), no_key=True)

    def active(self) -> "SessionQuerySet":
        """Sessions that accounts may be given."""
        return self.filter(status=ProxyStatus.ACTIVE)
