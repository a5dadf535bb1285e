"""Look at every part the product needs and say what to do about what is wrong."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import egress
from accounts.choices import ProxyStatus
from accounts.models import ExchangeAccount, ProxySession
from controlplane.base import rotation
from controlplane.health import pending_migrations
from controlplane.kernel.clock import AGREED_CLOCK
from controlplane.kernel.errors import ControlPlaneError
from controlplane.kernel.secrets import redact
from controlplane.supervision import clusters
from markets.bans import bans_left
from markets.choices import FeedStatus
from markets.models import MarketDataFeed, Venue
from markets.venue_watch import TimeTold, time_asked
from markets.venues import registry
from markets.venues.errors import VenueError
from markets.venues.ratelimit.limiter import limiter
from markets.venues.ratelimit.names import host_name
from markets.venues.ratelimit.terms import Scope
from monitoring.models import ClusterPulse

OLDEST_POSTGRES: Final = 150_000
QUEUE_SECONDS: Final = 5.0
VENUE_SECONDS: Final = 8.0
CLOCK_WARNING: Final = timedelta(milliseconds=500)
CLOCK_FAILURE: Final = timedelta(seconds=2)
LEAST_FREE_BYTES: Final = 1 << 30


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `advice` says what to do when it is not ok."""

    name: str
    verdict: Verdict
    message: str
    advice: str = ""


def examine(
    *, venues: QuerySet[Venue], offline: bool, in_detail: bool = False
) -> Iterator[Finding]:
    """Yield findings as they are made; without a database the rest cannot be asked.

    `in_detail` tells what each venue's adapter can and cannot do.
    """
    yield disk()
    found = database()
    yield found
    if found.verdict is Verdict.FAIL:
        return
    found = migrations()
    yield found
    if found.verdict is Verdict.FAIL:
        return
    yield clock()
    yield secrets()
    yield from queue()
    yield from feeds(venues)
    yield from account_keys(venues)
    if in_detail:
        yield from venue_limits(venues)
    yield from proxies()
    if not offline:
        yield from venue_clocks(venues)
    yield from venue_use(venues)


def disk() -> Finding:
    """Look at the room left where our own data is kept."""
    place = settings.VAR_DIR if settings.VAR_DIR.exists() else settings.BASE_DIR
    free = shutil.disk_usage(place).free
    message = _("%(free).1f GB free at %(place)s") % {"free": free / 1e9, "place": place}
    if free < LEAST_FREE_BYTES:
        return Finding("disk", Verdict.FAIL, message, _("Make room: a full disk stops PostgreSQL."))
    return Finding("disk", Verdict.OK, message)


def database() -> Finding:
    """Look at the server: does it answer, is it new enough."""
    where = _("the embedded server") if settings.EMBEDDED_POSTGRES else "DATABASE_URL"
    try:
        connection.ensure_connection()
    except (DatabaseError, RuntimeError) as error:
        advice = (
            _("See the log under var/postgres.")
            if settings.EMBEDDED_POSTGRES
            else _("Check DATABASE_URL, the network and that the server runs.")
        )
        return Finding("database", Verdict.FAIL, redact(str(error)).strip(), advice)
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone()
    message = _("PostgreSQL %(version)s, %(where)s") % {"version": version, "where": where}
    if connection.pg_version < OLDEST_POSTGRES:  # type: ignore[attr-defined]
        return Finding("database", Verdict.FAIL, message, _("Use PostgreSQL 15 or newer."))
    return Finding("database", Verdict.OK, message)


def migrations() -> Finding:
    """Look at the schema."""
    if missing := pending_migrations():
        message = _("%(count)d migrations are missing: %(names)s") % {
            "count": len(missing),
            "names": ", ".join(missing[:5]),
        }
        return Finding("migrations", Verdict.FAIL, message, _("Run: manage.py migrate"))
    return Finding("migrations", Verdict.OK, _("The schema is up to date."))


def clock() -> Finding:
    """Look at how far this machine's clock is from the database's, by which everything goes."""
    ahead = timedelta(milliseconds=AGREED_CLOCK.ahead_ms)
    if not ahead:
        return Finding("clock", Verdict.OK, _("This machine's agrees with the database's."))
    message = _("This machine's is %(ms)+d ms off the database's, which goes.") % {
        "ms": AGREED_CLOCK.ahead_ms
    }
    verdict = Verdict.FAIL if abs(ahead) > CLOCK_FAILURE else Verdict.WARN
    advice = _("Synchronise both (NTP): beyond two seconds from a venue's nothing is opened.")
    return Finding("clock", verdict, message, advice)


def secrets() -> Finding:
    """Look at whether the keys open every stored credential, and with which key."""
    stored = rotation.rotate(apply=False)
    if stored.unreadable:
        return Finding(
            "secrets",
            Verdict.FAIL,
            _("No key opens %(count)d stored credentials, such as %(first)s.")
            % {"count": len(stored.unreadable), "first": stored.unreadable[0]},
            _("Put the key they were stored with back into FERNET_KEYS, or enter them anew."),
        )
    if stored.rotated:
        return Finding(
            "secrets",
            Verdict.WARN,
            _("%(count)d of %(all)d credentials are stored with an older key.")
            % {"count": stored.rotated, "all": stored.values},
            _("Run: manage.py rotate_keys"),
        )
    message = _("%(keys)d keys; all %(all)d credentials open with the first.") % {
        "keys": len(settings.FERNET_KEYS),
        "all": stored.values,
    }
    return Finding("secrets", Verdict.OK, message)


def queue(*, seconds: float = QUEUE_SECONDS) -> Iterator[Finding]:
    """Send a canary to each cluster and wait for it."""
    asked = {name: clusters.ask(name) for name in clusters.names()}
    deadline = time.monotonic() + seconds
    answers: dict[str, timedelta] = {}
    while len(answers) < len(asked) and time.monotonic() < deadline:
        for pulse in ClusterPulse.objects.filter(pk__in=asked):
            if pulse.asked_at >= asked[pulse.cluster] and pulse.cluster not in answers:
                answers[pulse.cluster] = pulse.heard_at - pulse.asked_at
        time.sleep(0.05)
    for name in asked:
        if name in answers:
            milliseconds = answers[name].total_seconds() * 1000
            message = _("%(name)s answered in %(ms).0f ms") % {"name": name, "ms": milliseconds}
            yield Finding(f"queue {name}", Verdict.OK, message)
        else:
            message = _("%(name)s did not answer within %(s).0f s") % {"name": name, "s": seconds}
            advice = _("Run manage.py up, or Q_CLUSTER_NAME=%(name)s manage.py qcluster.") % {
                "name": name
            }
            yield Finding(f"queue {name}", Verdict.FAIL, message, advice)


def feeds(venues: QuerySet[Venue]) -> Iterator[Finding]:
    """Look at every enabled feed's status and the age of its data."""
    enabled = MarketDataFeed.objects.filter(is_enabled=True, exchange__in=venues)
    if not enabled.exists():
        yield Finding(
            "feeds", Verdict.WARN, _("There is no enabled feed."), _("Add one in the console.")
        )
    now = timezone.now()
    for feed in enabled:
        age = None if feed.last_heartbeat is None else now - feed.last_heartbeat
        fresh = age is not None and age <= timedelta(milliseconds=feed.failover_deadline)
        heard = _("never") if age is None else f"{age.total_seconds():.1f} s"
        message = _("%(status)s, last data %(age)s ago") % {"status": feed.status, "age": heard}
        if fresh and feed.status == str(FeedStatus.HEALTHY):
            yield Finding(f"feed {feed.pk}", Verdict.OK, message)
        else:
            yield Finding(
                f"feed {feed.pk}",
                Verdict.WARN if fresh else Verdict.FAIL,
                message,
                _("See that run_feeds runs (manage.py up) and that the venue is reachable."),
            )


def proxies() -> Iterator[Finding]:
    """Look at the proxy sessions out of use, where they come out, and at accounts without one."""
    if not settings.EGRESS_ECHO_URL and ProxySession.objects.exists():
        yield Finding(
            "proxy exits",
            Verdict.WARN,
            _("not checked: nothing tells with which address a proxy session comes out."),
            _("Set EGRESS_ECHO_URL to an address that answers with the asker's IP."),
        )
    failed = ProxySession.objects.filter(status=ProxyStatus.FAILED)
    for session in failed.select_related("proxy_profile"):
        name = f"proxy {session.proxy_profile_id} {session}"
        message = _("out of use: %(error)s") % {"error": session.last_error or _("no reason kept")}
        advice = _("Mend or replace it, then choose Check now in Proxy sessions.")
        yield Finding(name, Verdict.FAIL, message, advice)
    for account in ExchangeAccount.objects.syncable().astray().exclude(proxy_profile=None):
        yield Finding(
            f"proxy of {account.pk}",
            Verdict.FAIL,
            _("%(account)s has no session of %(profile)s in use; nothing is sent for it.")
            % {"account": account.pk, "profile": account.proxy_profile_id},
            _("Add a session to the profile or mend one, then resume the account."),
        )


def account_keys(venues: QuerySet[Venue]) -> Iterator[Finding]:
    """Name the accounts that lack a key their venue needs, or have one that can be none."""
    for account in ExchangeAccount.objects.syncable().for_sync().filter(exchange__in=venues):
        try:
            egress.check_credentials(account)
        except VenueError as error:
            advice = _("Enter the account's keys in the console.")
            yield Finding(f"account {account.pk}", Verdict.FAIL, redact(error.message), advice)


def newcomer(name: str) -> Iterator[Finding]:
    """Tell what could be done at a venue that is not set up, by its name in ccxt."""
    yield Finding(
        f"venue {name}",
        Verdict.WARN,
        _("is not set up; through ccxt it would do this:"),
        _("Add it in Venues with the dialect generic and the ccxt name %(name)s.") % {"name": name},
    )
    yield from venue_limits([Venue(pk=name, dialect=registry.GENERIC, ccxt_id=name)])


def venue_limits(venues: Iterable[Venue]) -> Iterator[Finding]:
    """Tell what each venue's adapter can and cannot do there."""
    for venue in venues:
        try:
            able = asdict(registry.capabilities(venue.dialect, venue.endpoint()))
        except VenueError as error:
            advice = _("Correct the venue's dialect or ccxt name in the console.")
            yield Finding(f"venue {venue.pk}", Verdict.FAIL, error.message, advice)
            continue
        can = ", ".join(name for name, is_able in able.items() if is_able)
        cannot = ", ".join(name for name, is_able in able.items() if not is_able)
        yield Finding(f"venue {venue.pk} can", Verdict.OK, can or _("nothing"))
        yield Finding(f"venue {venue.pk} cannot", Verdict.OK, cannot or _("nothing"))


def venue_clocks(venues: QuerySet[Venue]) -> Iterator[Finding]:
    """Ask every enabled venue for its time: is it reachable, and is our clock right."""
    asked = list(venues.filter(is_enabled=True))
    yield from asyncio.run(_ask_clocks(asked))


def venue_use(venues: QuerySet[Venue]) -> Iterator[Finding]:
    """Name venues whose list came cut short and ways that are banned, and how full the others are.

    What this process was just told counts all processes behind its own address.
    """
    for venue in venues.exclude(listing_short_at=None):
        yield Finding(
            f"instruments of {venue.pk}",
            Verdict.WARN,
            _("Its list has been cut short since %(at)s; what is known of it stays.")
            % {"at": f"{venue.listing_short_at:%Y-%m-%d %H:%M} UTC"},
            _("If it is whole: manage.py sync_instruments --venue %(venue)s --believe")
            % {"venue": venue.pk},
        )
    advice = _("Nothing is sent that way until then. Find out who asks too much.")
    hosts = {host_name(venue.rest_endpoint or f"ccxt:{venue.ccxt_id}") for venue in venues}
    for key, seconds in bans_left().items():
        if key.partition(" ")[0] in hosts:
            message = _("banned for %(seconds)d s more") % {"seconds": seconds}
            yield Finding(f"limits {key}", Verdict.FAIL, message, advice)
    for use in limiter().uses():
        if use.key.partition(" ")[0] in hosts and use.scope is Scope.EXIT:
            message = _("%(used)d of %(limit)d in %(seconds)d s, %(reserved)d kept for cancels")
            facts = {name: getattr(use, name) for name in ("used", "limit", "seconds", "reserved")}
            is_tight = use.used > use.limit - use.reserved
            yield Finding(
                f"limits {use.key}",
                Verdict.WARN if is_tight else Verdict.OK,
                message % facts,
                _("Sync less often, or put accounts behind proxies.") if is_tight else "",
            )


async def _ask_clocks(venues: Sequence[Venue]) -> list[Finding]:
    return list(await asyncio.gather(*(_ask_clock(venue) for venue in venues)))


async def _ask_clock(venue: Venue) -> Finding:
    name = f"venue {venue.pk}"
    try:
        told = await time_asked(venue, seconds=VENUE_SECONDS)
    except (ControlPlaneError, TimeoutError, OSError) as error:
        advice = _("Check the venue's addresses, the network and any firewall or proxy.")
        text = redact(str(error)) or type(error).__name__
        return Finding(name, Verdict.FAIL, text, advice)
    return _clock_finding(name, told)


def _clock_finding(name: str, told: TimeTold) -> Finding:
    # Half the round trip is the best guess of when the venue read its clock.
    trip = timedelta(microseconds=(told.received_ns - told.sent_ns) / 1000)
    offset = told.at - (told.heard_at - trip / 2)
    message = _("answers in %(trip).0f ms, clock offset %(offset)+.0f ms") % {
        "trip": trip.total_seconds() * 1000,
        "offset": offset.total_seconds() * 1000,
    }
    advice = _("Synchronise this machine's clock (NTP): venues refuse requests signed off time.")
    if abs(offset) > CLOCK_FAILURE:
        return Finding(name, Verdict.FAIL, message, advice)
    if abs(offset) > CLOCK_WARNING:
        return Finding(name, Verdict.WARN, message, advice)
    return Finding(name, Verdict.OK, message)


def guarded(steps: Iterator[Finding], on_each: Callable[[Finding], None]) -> list[Finding]:
    """Collect findings; an examination that breaks is a finding too."""
    found = []
    try:
        for finding in steps:
            on_each(finding)
            found.append(finding)
    except Exception as error:  # a doctor that dies tells nothing
        found.append(Finding("doctor", Verdict.FAIL, redact(f"{type(error).__name__}: {error}")))
        on_each(found[-1])
    return found
