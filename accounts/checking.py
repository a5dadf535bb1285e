"""Health of proxy sessions: does each reach a venue, and does it come out where it should."""

import asyncio
import ipaddress
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import proxies
from accounts.choices import ProxyStatus
from accounts.models import ExchangeAccount, ProxySession
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict
from controlplane.kernel.events import Severity
from controlplane.kernel.secrets import redact
from markets.models import Venue
from markets.venues.errors import ProxyRefused, VenueError
from markets.venues.registry import VenueRegistry
from markets.venues.shared import Transport
from markets.venues.types import Endpoint

logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 8.0
RETRY_SECONDS: Final = 1.0
AT_ONCE: Final = 20
NOT_AGAIN_WITHIN: Final = timedelta(seconds=5)
"""Many requests may fail at once; one check answers them all."""
RETRY_WITHIN: Final = timedelta(seconds=2)
"""Accounts without a way out wait for the session that comes back first."""
MAX_ECHO: Final = 4096

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Question:
    """One session and the venue it is asked to reach."""

    session: ProxySession
    dialect: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of one session showed.

    `error` is empty when the venue answered. `is_proven`: the proxy itself is at fault, whatever
    the venue does. `leaked` is the address it came out with, when that is not its own or is the
    one we come out with ourselves (`is_ours`).
    """

    question: Question
    error: str = ""
    is_proven: bool = False
    leaked: str = ""
    is_ours: bool = False


def sessions_check(*, actor: Actor, session_id: UUID | str | None = None) -> int:
    """Check one session or all of them, and take out or take back what that shows.

    A session fails when the proxy is proven at fault, when its venue answers others, or when it
    comes out with another address than its own or with ours; a venue that answers nobody proves
    nothing.
    Returns how many were checked.
    """
    wanted = ProxySession.objects.filter(is_held=False)
    if session_id is not None:
        wanted = wanted.filter(pk=session_id)
    return _check(wanted, NOT_AGAIN_WITHIN, actor=actor)


def sessions_retry(*, actor: Actor) -> int:
    """Check the failed sessions of profiles with accounts that have no other; every few seconds.

    Until one is back nothing is known of these accounts. Returns how many were checked.
    """
    waiting = ExchangeAccount.objects.filter(
        Q(proxy_session=None) | Q(proxy_session__status=ProxyStatus.FAILED),
        proxy_profile=OuterRef("proxy_profile"),
    )
    failed = ProxySession.objects.filter(is_held=False, status=ProxyStatus.FAILED)
    return _check(failed.filter(Exists(waiting)), RETRY_WITHIN, actor=actor)


def _check(wanted: QuerySet[ProxySession], not_again_within: timedelta, *, actor: Actor) -> int:
    questions = _questions(wanted, not_again_within)
    if not questions:
        return 0
    findings = asyncio.run(_ask_all(questions))
    for finding in findings:
        _conclude(finding, actor=actor)
    return len(findings)


def _questions(wanted: QuerySet[ProxySession], not_again_within: timedelta) -> list[Question]:
    now = timezone.now()
    questions = []
    for session in wanted.select_related("proxy_profile"):
        venue = venue_for(session)
        due = Q(checked_at=None) | Q(checked_at__lte=now - not_again_within)
        mine = ProxySession.objects.filter(due, pk=session.pk)
        if venue is not None and mine.update(checked_at=now):
            questions.append(Question(session, venue.dialect, venue.endpoint()))
    return questions


def venue_for(session: ProxySession) -> Venue | None:
    """Return a venue of the session's accounts, or one they might be at; None when all are off."""
    enabled = Venue.objects.filter(is_enabled=True).order_by("pk")
    allowed = session.proxy_profile.venues.all()
    return (
        enabled.filter(accounts__proxy_profile=session.proxy_profile).first()
        or enabled.filter(pk__in=allowed).first()
        or (None if allowed else enabled.first())
    )


def _conclude(finding: Finding, *, actor: Actor) -> None:
    session, error = finding.question.session, finding.error
    severity = Severity.WARN
    if finding.leaked:
        error = _("It comes out with the address %(leaked)s.") % {"leaked": finding.leaked}
        if finding.is_ours:
            error = _("It comes out with our own address, %(leaked)s.") % {"leaked": finding.leaked}
        severity = Severity.CRITICAL
    ProxySession.objects.filter(pk=session.pk).update(last_error=error[: proxies.MAX_ERROR])
    with suppress(Conflict):  # it is so already, or a person decided meanwhile
        if not error and session.status == ProxyStatus.FAILED:
            proxies.session_recover(session=session, actor=actor)
        elif error and finding.is_proven and session.status != ProxyStatus.FAILED:
            proxies.session_lose(session=session, actor=actor, reason=error, severity=severity)


async def _ask_all(questions: Sequence[Question]) -> list[Finding]:
    gate = asyncio.Semaphore(AT_ONCE)
    ours = await _exit(None, "this machine") if settings.EGRESS_ECHO_URL else None

    async def ask(question: Question) -> Finding:
        async with gate:
            finding = await _ask(question, ours)
            if finding.error:
                await asyncio.sleep(RETRY_SECONDS)
                finding = await _ask(question, ours)
            return finding

    findings = await asyncio.gather(*(ask(question) for question in questions))
    answering = {one.question.endpoint for one in findings if not one.error}
    return [await _weigh(finding, answering) for finding in findings]


async def _weigh(finding: Finding, answering: set[Endpoint]) -> Finding:
    """Tell a proxy that does not serve from a venue that does not answer."""
    question = finding.question
    if not finding.error or finding.is_proven:
        return finding
    if question.endpoint not in answering:
        if await _error(question, None) is not None:
            return finding
        answering.add(question.endpoint)
    return Finding(question, finding.error, is_proven=True)


async def _ask(question: Question, ours: Address | None) -> Finding:
    session = question.session
    url = session.url().reveal()
    error = await _error(question, url)
    if error is not None:
        return Finding(question, _said(error), is_proven=isinstance(error, ProxyRefused))
    seen = await _exit(url, str(session)) if settings.EGRESS_ECHO_URL else None
    if seen is None or (seen == _plain(session.ip) and seen != ours):
        return Finding(question)
    return Finding(question, is_proven=True, leaked=str(seen), is_ours=seen == ours)


async def _error(question: Question, proxy_url: str | None) -> Exception | None:
    """Ask the venue for its time; return what went wrong, or None."""
    registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)
    try:
        client = registry.market_client(question.dialect, question.endpoint, proxy_url=proxy_url)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await client.server_time()
        finally:
            await client.close()
    except (VenueError, TimeoutError) as error:
        return error
    return None


async def _exit(proxy_url: str | None, name: str) -> Address | None:
    """Return the address an echo sees, by a proxy or directly; None when it does not tell."""
    transport = Transport(proxy_url)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            answer = await transport.send(
                "GET", settings.EGRESS_ECHO_URL, headers={}, body=None, max_bytes=MAX_ECHO
            )
        return _address(answer.body)
    except (VenueError, TimeoutError, ValueError) as error:
        logger.warning("The exit of %s cannot be told: %s", name, _said(error))
        return None
    finally:
        await transport.close()


def _address(body: bytes) -> Address:
    """Read an address from an echo's answer: bare text, or JSON with `ip`. Raises ValueError."""
    text = body.decode().strip()
    if text.startswith("{"):
        text = str(json.loads(text).get("ip"))
    return _plain(text)


def _plain(ip: str) -> Address:
    address = ipaddress.ip_address(ip)
    return getattr(address, "ipv4_mapped", None) or address


def _said(error: Exception) -> str:
    return redact(str(error)) or type(error).__name__
