"""Who goes out through which proxy session, and what becomes of one that fails."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count, product
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import egress, proxies
from accounts.choices import ProxyScheme, ProxyStatus, RotationPolicy
from accounts.domain.proxy import (
    PROXY_TABLE,
    ProxyEvent,
    address_problem,
    advance,
    auth_problem,
    proxy_url,
)
from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from accounts.selectors import able_to_read
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict, IllegalMove
from markets.venues.errors import NotSent
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests import factories

ACTOR = Actor(name="test", surface=Surface.COMMAND)
_ports = count(2000)


def profile(*, sessions: int = 2, **fields: Any) -> ProxyProfile:
    made = ProxyProfile.objects.create(profile_id=f"pool-{next(_ports)}", name="Pool", **fields)
    for _ in range(sessions):
        session(made)
    return made


def session(owner: ProxyProfile, **fields: Any) -> ProxySession:
    port = next(_ports)
    return ProxySession.objects.create(
        **{"proxy_profile": owner, "ip": "127.0.0.1", "port": port, "auth": "user:word", **fields}
    )


def account(owner: ProxyProfile, used: ProxySession | None = None, **fields: Any) -> str:
    made = factories.account(proxy_profile=owner, proxy_session=used, **fields)
    return str(made.pk)


def now_of(account_id: str) -> ExchangeAccount:
    return ExchangeAccount.objects.for_sync().get(pk=account_id)


def send(account_id: str, submission: str = "sending") -> OrderIntent:
    intent = factories.intent(account=now_of(account_id))
    OrderIntent.objects.filter(pk=intent.pk).update(state="submitted", submission="sending")
    if submission != "sending":
        OrderIntent.objects.filter(pk=intent.pk).update(submission=submission)
    return intent


def end(intent: OrderIntent) -> None:
    OrderIntent.objects.filter(pk=intent.pk).update(state="failed", submission="none")


def status(row: ProxySession) -> str:
    return str(ProxySession.objects.get(pk=row.pk).status)


def alerts(**fields: Any) -> list[str]:
    rows = MonitoringEvent.objects.filter(type="proxy-alert", **fields)
    return list(rows.order_by("created_at").values_list("message", flat=True))


# Rules without a database


def test_only_the_tables_moves_are_possible() -> None:
    for old, event in product(ProxyStatus, ProxyEvent):
        if (old, event) in PROXY_TABLE:
            assert advance(old, event) == PROXY_TABLE[old, event]
        else:
            with pytest.raises(IllegalMove):
                advance(old, event)


@pytest.mark.parametrize(
    ("scheme", "ip", "auth", "url"),
    [
        ("http", "203.0.113.9", "", "http://203.0.113.9:8080"),
        ("https", "203.0.113.9", "u:p", "https://u:p@203.0.113.9:8080"),
        ("http", "203.0.113.9", "u@x:p@/:#%", "http://u%40x:p%40%2F%3A%23%25@203.0.113.9:8080"),
        ("socks5", "2001:db8::1", "u:p", "socks5h://u:p@[2001:db8::1]:8080"),
    ],
)
def test_the_address_escapes_credentials(scheme: str, ip: str, auth: str, url: str) -> None:
    assert proxy_url(ProxyScheme(scheme), ip, 8080, auth) == url


@pytest.mark.parametrize(
    "auth",
    ["someone", "someone:", ":word", "http://u:p@h:1", "u:p w", "u:p\n", "ü:p", f"u:{'p' * 256}"],
)
def test_malformed_credentials_are_refused_and_not_quoted(auth: str) -> None:
    problem = auth_problem(auth)
    assert problem is not None
    assert auth not in problem


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "::ffff:10.0.0.1", "fd00::1", "100.64.0.1"],
)
def test_private_proxies_need_leave(ip: str) -> None:
    assert address_problem(ip, allow_private=False) is not None
    assert address_problem(ip, allow_private=True) is None


@pytest.mark.parametrize(
    "ip", ["::", "::ffff:0.0.0.0", "169.254.169.254", "::ffff:169.254.169.254", "x"]
)
def test_some_addresses_are_never_a_proxy(ip: str) -> None:
    assert address_problem(ip, allow_private=True) is not None


def test_public_addresses_are_fine() -> None:
    assert address_problem("8.8.8.8", allow_private=False) is None


# Who goes where


@pytest.mark.django_db
def test_new_accounts_spread_over_the_sessions() -> None:
    pool = profile(sessions=3)
    ids = [account(pool) for _ in range(7)]
    assert proxies.accounts_settle(actor=ACTOR) == 7
    assert sorted(row.accounts.count() for row in pool.sessions.all()) == [2, 2, 3]
    assert {now_of(pk).status for pk in ids} == {"active"}
    assert len(alerts(account_id__in=ids)) == 7
    assert proxies.accounts_settle(actor=ACTOR) == 0
    assert len(alerts()) == 7


@pytest.mark.django_db
def test_failed_session_hands_its_accounts_to_the_others() -> None:
    pool = profile(sessions=3)
    first, second, third = pool.sessions.order_by("pk")
    ids = [account(pool, first) for _ in range(3)] + [account(pool, second)]
    proxies.session_lose(session=first, actor=ACTOR, reason="no answer")
    assert (status(first), first.accounts.count()) == ("failed", 0)
    assert sorted((second.accounts.count(), third.accounts.count())) == [2, 2]
    assert {now_of(pk).status for pk in ids} == {"active"}
    assert alerts(severity="WARN") == [f"Proxy session {first} is out of use: no answer"]
    with pytest.raises(Conflict):
        proxies.session_lose(session=first, actor=ACTOR, reason="again")
    assert len(alerts(severity="WARN")) == 1


@pytest.mark.django_db
def test_account_without_any_session_left_is_paused_once() -> None:
    pool = profile(sessions=1)
    (only,) = pool.sessions.all()
    pk = account(pool, only)
    proxies.session_lose(session=only, actor=ACTOR, reason="no answer")
    for _ in range(2):
        proxies.accounts_settle(actor=ACTOR)
    stranded = now_of(pk)
    assert (stranded.status, stranded.proxy_session) == ("paused", only)
    with pytest.raises(NotSent, match="out of use"):
        egress.route_of(stranded)
    assert len(alerts(severity="CRITICAL", account_id=pk)) == 1
    proxies.session_recover(session=only, actor=ACTOR)
    assert egress.route_of(now_of(pk)).proxy_url is not None
    assert now_of(pk).status == "paused"


@pytest.mark.django_db
def test_policy_manual_moves_nobody_off_a_failed_session() -> None:
    pool = profile(rotation_policy=RotationPolicy.MANUAL)
    first, second = pool.sessions.order_by("pk")
    pk = account(pool, first)
    proxies.session_lose(session=first, actor=ACTOR, reason="no answer")
    assert (now_of(pk).status, now_of(pk).proxy_session) == ("paused", first)
    proxies.session_assign(account=now_of(pk), actor=ACTOR, reason="by hand")
    assert now_of(pk).proxy_session == second


@pytest.mark.django_db
@pytest.mark.parametrize("submission", ["sending", "unknown", "acknowledged"])
@pytest.mark.parametrize("verb", [proxies.session_rotate, proxies.session_fail])
def test_account_stays_while_its_order_is_on_its_way(
    verb: Callable[..., ProxySession], submission: str
) -> None:
    pool = profile()
    first, second = pool.sessions.order_by("pk")
    busy, idle = account(pool, first), account(pool, first)
    intent = send(busy, submission)
    verb(session=first, actor=ACTOR, reason="by hand")
    assert now_of(idle).proxy_session == second
    assert (now_of(busy).proxy_session, now_of(busy).status) == (first, "active")
    assert status(first) in {"rotating", "failed"}
    assert proxies.accounts_settle(actor=ACTOR) == 0
    with pytest.raises(Conflict):
        proxies.session_assign(account=now_of(busy), actor=ACTOR, reason="by hand")
    if submission == "acknowledged":
        OrderIntent.objects.filter(pk=intent.pk).update(state="cancelled")
    else:
        end(intent)
    assert proxies.accounts_settle(actor=ACTOR) == 1
    assert now_of(busy).proxy_session == second


@pytest.mark.django_db
def test_sandbox_orders_keep_nobody_from_moving() -> None:
    pool = profile()
    first, second = pool.sessions.order_by("pk")
    pk = account(pool, first)
    intent = factories.intent(account=now_of(pk), sandbox=True)
    OrderIntent.objects.filter(pk=intent.pk).update(state="submitted", submission="sending")
    proxies.session_rotate(session=first, actor=ACTOR, reason="by hand")
    assert now_of(pk).proxy_session == second


@pytest.mark.django_db
def test_rotated_session_is_active_again_once_it_is_empty() -> None:
    pool = profile()
    first, second = pool.sessions.order_by("pk")
    pk = account(pool, first)
    rotated = proxies.session_rotate(session=first, actor=ACTOR, reason="by hand")
    assert rotated.status == "active"
    assert rotated.last_rotation is not None
    assert now_of(pk).proxy_session == second
    second.refresh_from_db()
    assert second.last_rotation is not None


@pytest.mark.django_db
def test_the_only_session_is_not_rotated() -> None:
    pool = profile(sessions=1)
    (only,) = pool.sessions.all()
    pk = account(pool, only)
    with pytest.raises(Conflict):
        proxies.session_rotate(session=only, actor=ACTOR, reason="by hand")
    assert (status(only), now_of(pk).proxy_session, alerts()) == ("active", only, [])


@pytest.mark.django_db
def test_rotation_on_schedule_waits_for_its_interval() -> None:
    pool = profile(rotation_policy=RotationPolicy.INTERVAL, rotation_minutes=10)
    first, second = pool.sessions.order_by("pk")
    pk = account(pool, first)
    now = timezone.now()
    for minutes, where in ((9, first), (11, second), (9, second)):
        later = now + timedelta(minutes=minutes)
        proxies.sessions_rotate_due(now=later, actor=ACTOR)
        assert now_of(pk).proxy_session == where


@pytest.mark.django_db
def test_profile_is_used_for_its_venues_only() -> None:
    pool = profile()
    pool.venues.add(factories.venue())
    (first, _second) = pool.sessions.order_by("pk")
    pk = account(pool, first)
    proxies.accounts_settle(actor=ACTOR)
    assert (now_of(pk).proxy_session, now_of(pk).status) == (None, "paused")
    with pytest.raises(NotSent):
        egress.route_of(now_of(pk))
    with pytest.raises(Conflict):
        proxies.session_assign(account=now_of(pk), actor=ACTOR, reason="by hand")


@pytest.mark.django_db
def test_session_of_another_profile_is_not_used_and_is_left() -> None:
    old, new = profile(), profile()
    pk = account(old, old.sessions.first())
    ExchangeAccount.objects.filter(pk=pk).update(proxy_profile=new)
    with pytest.raises(NotSent, match="another"):
        egress.route_of(now_of(pk))
    proxies.accounts_settle(actor=ACTOR)
    moved = now_of(pk).proxy_session
    assert moved is not None
    assert moved.proxy_profile == new
    ExchangeAccount.objects.filter(pk=pk).update(proxy_profile=None)
    proxies.accounts_settle(actor=ACTOR)
    assert now_of(pk).proxy_session is None


@pytest.mark.django_db
def test_reading_takes_another_session_while_the_own_is_out_of_use() -> None:
    pool = profile()
    first, second = pool.sessions.order_by("pk")
    pk = account(pool, first)
    send(pk, "unknown")
    assert able_to_read(now_of(pk)).proxy_session == first
    proxies.session_fail(session=first, actor=ACTOR, reason="by hand")
    assert able_to_read(now_of(pk)).proxy_session == second
    assert now_of(pk).proxy_session == first


@pytest.mark.django_db
def test_session_a_person_took_out_comes_back_by_a_person_alone() -> None:
    pool = profile()
    first, _second = pool.sessions.order_by("pk")
    proxies.session_fail(session=first, actor=ACTOR, reason="by hand")
    with pytest.raises(Conflict):
        proxies.session_recover(session=first, actor=ACTOR)
    assert status(first) == "failed"
    proxies.session_release(session=first, actor=ACTOR, reason="mended")
    proxies.session_recover(session=first, actor=ACTOR)
    assert status(first) == "active"


# What the database and the forms hold


@pytest.mark.django_db
def test_database_refuses_a_move_the_table_has_not() -> None:
    pool = profile(sessions=1)
    ProxySession.objects.update(status="failed")
    with pytest.raises(IntegrityError, match="illegal move"), transaction.atomic():
        ProxySession.objects.update(status="rotating")
    assert status(pool.sessions.get()) == "failed"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"), [("auth", "no-colon"), ("ip", "169.254.169.254"), ("ip", "10.0.0.1")]
)
def test_bad_session_is_refused_at_its_field(field: str, value: str, settings: Any) -> None:
    settings.ALLOW_PRIVATE_PROXIES = False
    fields = {"ip": "8.8.8.8", "port": 8080, "auth": "user:word", field: value}
    row = ProxySession(proxy_profile=profile(sessions=0), **fields)
    with pytest.raises(ValidationError) as refused:
        row.full_clean()
    assert list(refused.value.message_dict) == [field]


@pytest.mark.django_db
def test_private_proxy_is_not_used_where_it_is_not_allowed(settings: Any) -> None:
    pool = profile()
    pk = account(pool, pool.sessions.first())
    settings.ALLOW_PRIVATE_PROXIES = False
    with pytest.raises(NotSent, match="not allowed"):
        egress.route_of(now_of(pk))
