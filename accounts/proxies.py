"""Verbs of proxy sessions: who goes out where, and what becomes of a session.

Every verb locks the profile first, then its accounts in key order, then asks what is in flight:
an order is claimed under its account's lock, so no account is moved while one is on its way.
"""

from contextlib import suppress
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import lifecycle
from accounts.choices import AccountStatus, ProxyStatus, RotationPolicy
from accounts.domain.proxy import ProxyEvent, advance, least_used, rotation_due
from accounts.inflight import accounts_in_flight
from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from accounts.querysets import AccountQuerySet
from controlplane.base import audit, events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import EventType, Occurrence, Severity

ASSIGNED = audit.register("proxy.assigned", label=gettext_lazy("Proxy session assigned"))
ROTATED = audit.register("proxy.rotated", label=gettext_lazy("Proxy session rotated"))
FAILED = audit.register("proxy.failed", label=gettext_lazy("Proxy session failed"))
RECOVERED = audit.register("proxy.recovered", label=gettext_lazy("Proxy session recovered"))

MAX_ERROR: Final = 500


@transaction.atomic
def session_assign(*, account: ExchangeAccount, actor: Actor, reason: str) -> ExchangeAccount:
    """Move one account to another active session of its profile, the one with fewest accounts.

    Raises Conflict while an order of it is on its way, and when there is no such session.
    """
    profile = account.proxy_profile
    if profile is None:
        raise Conflict(_("%(account)s uses no proxy profile.") % {"account": account.pk})
    _lock(profile)
    account = ExchangeAccount.objects.locked().get(pk=account.pk)
    if accounts_in_flight([account.pk]):
        raise Conflict(_("%(account)s has an order on its way.") % {"account": account.pk})
    users = {
        session: count
        for session, count in _users(profile).items()
        if session.pk != account.proxy_session_id and profile.allows(account.exchange_id)
    }
    session = least_used(users)
    if session is None:
        raise Conflict(_none_left(account, profile))
    _bind(account, session, actor=actor, reason=reason)
    return account


@transaction.atomic
def session_rotate(*, session: ProxySession, actor: Actor, reason: str) -> ProxySession:
    """Move every account of a session to the others of its profile.

    An account with an order on its way stays until that has ended; the session is `rotating`
    meanwhile. Raises Conflict when it is not active or is the only active one.
    """
    profile, session = _lock(session.proxy_profile), _fresh(session)
    status = advance(ProxyStatus(session.status), ProxyEvent.ROTATE)
    if not profile.sessions.active().exclude(pk=session.pk).exists():
        raise Conflict(_("%(session)s is the only active session.") % {"session": session})
    _move(session, status, ROTATED, actor=actor, reason=reason)
    _tell(
        _("Proxy session %(session)s is rotated: %(reason)s"), session, reason=reason, actor=actor
    )
    _settle(profile, actor=actor, reason=reason)
    return _fresh(session)


@transaction.atomic
def session_fail(*, session: ProxySession, actor: Actor, reason: str) -> ProxySession:
    """Take a session out of use until a person has it checked; its accounts move or pause.

    Raises Conflict when it has failed already.
    """
    return _fail(session, actor=actor, reason=reason, held=True, severity=Severity.WARN)


@transaction.atomic
def session_lose(
    *, session: ProxySession, actor: Actor, reason: str, severity: Severity = Severity.WARN
) -> ProxySession:
    """Take a session out of use until it is found well again; its accounts move or pause.

    Raises Conflict when it has failed already.
    """
    return _fail(session, actor=actor, reason=reason, held=False, severity=severity)


@transaction.atomic
def session_recover(*, session: ProxySession, actor: Actor) -> ProxySession:
    """Take a failed session back into use; accounts that wait for one are moved to it.

    Raises Conflict when it has not failed or a person holds it out of use.
    """
    profile, session = _lock(session.proxy_profile), _fresh(session)
    status = advance(ProxyStatus(session.status), ProxyEvent.RECOVER)
    if session.is_held:
        raise Conflict(_("%(session)s was taken out by a person.") % {"session": session})
    session.last_error = ""
    reason = _("The proxy answers again.")
    _move(session, status, RECOVERED, actor=actor, reason=reason)
    _tell(_("Proxy session %(session)s is well again."), session, reason=reason, actor=actor)
    _settle(profile, actor=actor, reason=reason)
    return session


@transaction.atomic
def session_release(*, session: ProxySession, actor: Actor, reason: str) -> ProxySession:
    """Let checks take back a session that a person took out of use."""
    _lock(session.proxy_profile)
    session = _fresh(session)
    if session.is_held:
        session.is_held = False
        with audit.context(audit.CHANGED, actor=actor, reason=reason):
            session.save(update_fields=["is_held", "updated_at"])
    return session


def accounts_settle(*, actor: Actor) -> int:
    """Bring every account to a session it may use, as far as orders on their way allow.

    An account that finds none is paused. Returns how many were moved.
    """
    reason = _("The account needs another session.")
    settled = 0
    for profile_id in set(ExchangeAccount.objects.astray().values_list("proxy_profile", flat=True)):
        with transaction.atomic():
            if profile_id is None:
                settled += _unbind_all(actor=actor)
            else:
                profile = _lock(ProxyProfile.objects.get(pk=profile_id))
                settled += _settle(profile, actor=actor, reason=reason)
    for profile in ProxyProfile.objects.filter(sessions__status=ProxyStatus.ROTATING).distinct():
        with transaction.atomic():
            _end_rotations(_lock(profile), actor=actor)
    return settled


def sessions_rotate_due(*, now: datetime, actor: Actor) -> int:
    """Rotate the sessions whose accounts have been there for their profile's interval."""
    on_schedule = ProxySession.objects.active().filter(
        proxy_profile__rotation_policy=RotationPolicy.INTERVAL, accounts__isnull=False
    )
    rotated = 0
    for session in on_schedule.select_related("proxy_profile").distinct():
        since = session.last_rotation or session.created_at
        if rotation_due(since, session.proxy_profile.rotation_minutes, now=now):
            with suppress(Conflict):  # it is the only one, or somebody else rotates it
                session_rotate(session=session, actor=actor, reason=_("Its interval has passed."))
                rotated += 1
    return rotated


def _fail(
    session: ProxySession, *, actor: Actor, reason: str, held: bool, severity: Severity
) -> ProxySession:
    profile, session = _lock(session.proxy_profile), _fresh(session)
    status = advance(ProxyStatus(session.status), ProxyEvent.FAIL)
    session.is_held, session.last_error = held, reason[:MAX_ERROR]
    _move(session, status, FAILED, actor=actor, reason=reason)
    if not profile.sessions.active().exists():
        severity = Severity.CRITICAL
    text = _("Proxy session %(session)s is out of use: %(reason)s")
    _tell(text, session, severity=severity, reason=reason, actor=actor)
    lifecycle.session_changed(session)
    _settle(profile, actor=actor, reason=reason)
    return session


def _settle(profile: ProxyProfile, *, actor: Actor, reason: str) -> int:
    """Move the accounts of a locked profile that may not stay where they are."""
    strays = _strays(profile.accounts.all())
    busy = accounts_in_flight([account.pk for account in strays])
    users = _users(profile)
    moved = 0
    for account in strays:
        if account.pk in busy:
            continue
        session = least_used(users) if _may_move(account, profile) else None
        if session is not None:
            _bind(account, session, actor=actor, reason=reason)
            users[session] += 1
            moved += 1
        elif not _may_stay(account, profile):
            _strand(account, profile, actor=actor, reason=reason)
    _end_rotations(profile, actor=actor)
    return moved


def _strays(accounts: AccountQuerySet) -> list[ExchangeAccount]:
    """Return those of the accounts that are astray, locked.

    They are asked for again once locked: what a locking query joins may be older than its rows.
    """
    astray = accounts.astray().order_by("pk")
    found = [account.pk for account in astray]
    if not found:
        return []
    list(ExchangeAccount.objects.filter(pk__in=found).locked())
    return list(astray.filter(pk__in=found).select_related("proxy_session"))


def _may_move(account: ExchangeAccount, profile: ProxyProfile) -> bool:
    """Tell whether the profile gives this account another session by itself."""
    session = account.proxy_session
    by_hand = profile.rotation_policy == RotationPolicy.MANUAL
    failed = session is not None and session.status == ProxyStatus.FAILED
    return profile.allows(account.exchange_id) and not (by_hand and failed)


def _may_stay(account: ExchangeAccount, profile: ProxyProfile) -> bool:
    """Tell whether the account's session still serves it, though it is to leave."""
    session = account.proxy_session
    return (
        session is not None
        and session.status != ProxyStatus.FAILED
        and session.proxy_profile_id == profile.pk
        and profile.allows(account.exchange_id)
    )


def _strand(account: ExchangeAccount, profile: ProxyProfile, *, actor: Actor, reason: str) -> None:
    """Pause an account that has no session left; it goes nowhere rather than out directly."""
    if account.proxy_session_id is not None and not profile.allows(account.exchange_id):
        _bind(account, None, actor=actor, reason=reason)
    if account.status != AccountStatus.ACTIVE:
        return
    text = _none_left(account, profile)
    lifecycle.account_pause(account=account, actor=actor, reason=text)
    _publish(text, Severity.CRITICAL, account_id=account.pk, profile=profile.pk, reason=reason)


def _unbind_all(*, actor: Actor) -> int:
    """Take accounts without a profile off the sessions they still have."""
    strays = _strays(ExchangeAccount.objects.filter(proxy_profile=None))
    busy = accounts_in_flight([account.pk for account in strays])
    free = [account for account in strays if account.pk not in busy]
    for account in free:
        _bind(account, None, actor=actor, reason=_("The account uses no proxy profile."))
    return len(free)


def _end_rotations(profile: ProxyProfile, *, actor: Actor) -> None:
    """Take sessions back that all accounts have left, or that there is no other to leave for."""
    lonely = not profile.sessions.active().exists()
    for session in profile.sessions.filter(status=ProxyStatus.ROTATING):
        if lonely or not session.accounts.exists():
            status = advance(ProxyStatus.ROTATING, ProxyEvent.SETTLE)
            session.last_rotation = timezone.now()
            _move(session, status, ROTATED, actor=actor, reason=_("The rotation has ended."))
            lonely = False


def _bind(
    account: ExchangeAccount, session: ProxySession | None, *, actor: Actor, reason: str
) -> None:
    old, account.proxy_session = account.proxy_session, session
    with audit.context(ASSIGNED, actor=actor, reason=reason):
        account.save(update_fields=["proxy_session", "updated_at"])
    if session is not None and old is not None:
        # Who has just come stays for a whole interval.
        ProxySession.objects.filter(pk=session.pk).update(last_rotation=timezone.now())
    _publish(
        _("%(account)s goes out through %(session)s: %(reason)s")
        % {"account": account.pk, "session": session or _("no proxy"), "reason": reason},
        Severity.INFO,
        account_id=account.pk,
        actor=actor.name,
        **{"from": _key(old), "to": _key(session)},
    )
    lifecycle.account_changed(account)


def _move(
    session: ProxySession, status: ProxyStatus, action: audit.Action, *, actor: Actor, reason: str
) -> None:
    session.status = status
    with audit.context(action, actor=actor, reason=reason):
        session.save(
            update_fields=["status", "is_held", "last_error", "last_rotation", "updated_at"]
        )


def _lock(profile: ProxyProfile) -> ProxyProfile:
    return ProxyProfile.objects.select_for_update(no_key=True).get(pk=profile.pk)


def _fresh(session: ProxySession) -> ProxySession:
    return ProxySession.objects.select_related("proxy_profile").get(pk=session.pk)


def _users(profile: ProxyProfile) -> dict[ProxySession, int]:
    """Return the profile's active sessions with how many accounts each carries."""
    sessions = profile.sessions.active().annotate(users=Count("accounts")).order_by("pk")
    return {session: session.users for session in sessions}


def _none_left(account: ExchangeAccount, profile: ProxyProfile) -> str:
    return _("%(account)s has no session of %(profile)s to go out through.") % {
        "account": account.pk,
        "profile": profile.pk,
    }


def _key(session: ProxySession | None) -> str | None:
    return str(session.pk) if session is not None else None


def _tell(
    text: str,
    session: ProxySession,
    *,
    reason: str,
    actor: Actor,
    severity: Severity = Severity.INFO,
) -> None:
    _publish(
        text % {"session": session, "reason": reason},
        severity,
        session=str(session.pk),
        profile=session.proxy_profile_id,
        actor=actor.name,
        reason=reason,
    )


def _publish(
    message: str, severity: Severity, *, account_id: str | None = None, **payload: str | None
) -> None:
    events.publish(
        Occurrence(
            type=EventType.PROXY_ALERT,
            severity=severity,
            message=message,
            account_id=account_id,
            payload=payload,
        )
    )
