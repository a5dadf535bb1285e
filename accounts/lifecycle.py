"""Verbs that change whether an account may trade, and word of every change to it."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.choices import AccountStatus
from accounts.models import AccountState, ExchangeAccount, ProxyProfile, ProxySession
from controlplane import bus
from controlplane.base import audit, events
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets.groups import CONSOLE, FEEDS
from markets.models import Venue

PAUSED = audit.register("account.paused", label=_("Account paused"))
RESUMED = audit.register("account.resumed", label=_("Account resumed"))


@transaction.atomic
def account_pause(*, account: ExchangeAccount, actor: audit.Actor, reason: str) -> ExchangeAccount:
    """Stop new orders of an active account; it is still watched. Raises Conflict otherwise."""
    return _move(
        account,
        PAUSED,
        expected=AccountStatus.ACTIVE,
        status=AccountStatus.PAUSED,
        actor=actor,
        reason=reason,
    )


@transaction.atomic
def account_resume(*, account: ExchangeAccount, actor: audit.Actor, reason: str) -> ExchangeAccount:
    """Let a paused account trade again.

    Raises Conflict for any other status: an account in emergency is rearmed, not resumed.
    """
    resumed = _move(
        account,
        RESUMED,
        expected=AccountStatus.PAUSED,
        status=AccountStatus.ACTIVE,
        actor=actor,
        reason=reason,
    )
    account_rearmed(account.pk)
    return resumed


def account_rearmed(account_id: str) -> None:
    """Note that a person has let the account trade again: stop rules count from now on."""
    AccountState.objects.filter(pk=account_id).update(rearmed_at=timezone.now())


def account_changed(account: ExchangeAccount) -> None:
    """Tell whoever holds this account's clients and streams, and the console."""
    _tell(account.pk)


def profile_changed(profile: ProxyProfile) -> None:
    """Tell of every account that goes out through this profile."""
    _tell(*profile.accounts.values_list("pk", flat=True))


def session_changed(session: ProxySession) -> None:
    """Tell of every account that may go out through this session."""
    profile_changed(session.proxy_profile)


def venue_changed(venue: Venue) -> None:
    """Tell of every account at this venue."""
    _tell(*venue.accounts.values_list("pk", flat=True))


def _tell(*account_ids: str) -> None:
    for account_id in account_ids:
        bus.send(FEEDS, "account.changed", account_id=account_id)
    bus.send(CONSOLE, "console.changed", topic="accounts")


def _move(
    account: ExchangeAccount,
    action: audit.Action,
    *,
    expected: AccountStatus,
    status: AccountStatus,
    actor: audit.Actor,
    reason: str,
) -> ExchangeAccount:
    account = ExchangeAccount.objects.locked().get(pk=account.pk)
    if account.status != expected:
        raise Conflict(
            f"{account.pk} is {account.status}, not {expected}.",
            details={"account": account.pk, "status": account.status},
        )
    account.status = status
    with audit.context(action, actor=actor, reason=reason):
        account.save(update_fields=["status", "updated_at"])
    events.publish(
        Occurrence(
            type=EventType.ACCOUNT,
            severity=Severity.WARN if status == AccountStatus.PAUSED else Severity.INFO,
            message=f"{account.pk} {status} by {actor.name}: {reason}",
            account_id=account.pk,
            payload={"action": action.code, "actor": actor.name, "reason": reason},
        )
    )
    account_changed(account)
    return account
