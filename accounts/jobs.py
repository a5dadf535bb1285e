"""Jobs of accounts, and what puts them in the queue."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import checking, proxies
from accounts.choices import SyncStatus
from accounts.models import AccountState, ExchangeAccount, ProxySession
from accounts.services import account_sync
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.base.jobs import JobRunner, enqueue, job
from controlplane.kernel.errors import Conflict, ControlPlaneError
from controlplane.kernel.events import EventType, Occurrence


class SyncFailed(ControlPlaneError):
    """Nothing could be read of an account."""

    code = "sync_failed"


@job(name="accounts.sync", cluster="sync")
class SyncAccount(JobRunner):
    """Read one account at its venue; a second run at the same moment ends without a word."""

    def run(self, **ids: str) -> None:
        account_id = ids["account_id"]
        account = ExchangeAccount.objects.syncable().for_sync().filter(pk=account_id).first()
        if account is None:
            return
        record = account_sync(account=account, actor=self.actor)
        if record is not None and record.status == SyncStatus.FAILED:
            session_doubt(record.proxy_session_id)
            raise SyncFailed(
                _("%(account)s: %(error)s") % {"account": account_id, "error": record.error}
            )


@job(name="proxies.check", cluster="sync", every=timedelta(minutes=1))
class CheckProxies(JobRunner):
    """Check one proxy session, or all; rotate those whose time has come; move who must move."""

    def run(self, **ids: str) -> None:
        checking.sessions_check(actor=self.actor, session_id=ids.get("session_id"))
        proxies.sessions_rotate_due(now=timezone.now(), actor=self.actor)
        proxies.accounts_settle(actor=self.actor)


def session_doubt(session_id: UUID | None) -> None:
    """Queue a check of the session that something has just failed through, if there is one."""
    if session_id is not None:
        enqueue(CheckProxies, session_id=str(session_id))


@transaction.atomic
def session_check_request(*, session: ProxySession, actor: Actor, reason: str) -> ProxySession:
    """Queue a check of one session; one that a person took out may come back by it.

    Raises Conflict when there is no venue that may be asked through it.
    """
    if checking.venue_for(session) is None:
        raise Conflict(
            _("There is no enabled venue that %(session)s may be used for.") % {"session": session}
        )
    released = proxies.session_release(session=session, actor=actor, reason=reason)
    session_doubt(session.pk)
    return released


@transaction.atomic
def syncs_enqueue_due(*, now: datetime, actor: Actor) -> int:
    """Queue a sync of every account whose interval has passed; return how many.

    Never two for one account, whoever calls at the same moment: the row that remembers it is
    locked. `actor` is who asks.
    """
    due = AccountState.objects.sync_due(now).select_for_update(skip_locked=True, of=("self",))
    queued = [state.pk for state in due]
    AccountState.objects.filter(pk__in=queued).update(sync_queued_at=now)
    for account_id in queued:
        enqueue(SyncAccount, account_id=account_id)
    return len(queued)


@transaction.atomic
def sync_request(*, account: ExchangeAccount, actor: Actor, reason: str) -> ExchangeAccount:
    """Queue a sync of one account because somebody asks, due or not."""
    AccountState.objects.filter(pk=account.pk).update(sync_queued_at=timezone.now())
    enqueue(SyncAccount, account_id=account.pk)
    events.publish(
        Occurrence(
            type=EventType.ACCOUNT,
            message=f"{account.pk} sync asked for by {actor.name}: {reason}",
            account_id=account.pk,
            payload={"actor": actor.name, "surface": str(actor.surface), "reason": reason},
        )
    )
    return account
