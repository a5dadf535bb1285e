"""A sync tells what the venue tells, and only that."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from django.db import connection
from django.utils import timezone

from accounts import egress
from accounts.choices import SyncProblem, SyncStatus
from accounts.claims import sync_claim
from accounts.jobs import SyncAccount
from accounts.models import AccountState, AccountSyncJob, EquitySample, ExchangeAccount, Position
from accounts.observations import AccountMoved, AccountRead, FillsSeen, Observation, OrdersSeen
from accounts.services import account_sync
from controlplane.base import jobs
from controlplane.base.audit import Actor, Surface
from markets.models import Instrument
from markets.venues.types import FillReport
from monitoring.models import JobRun, MonitoringEvent
from tests.accounts.paper import Paper, rekey

ACTOR = Actor(name="test", surface=Surface.COMMAND)
BALANCE = ("GET", "/fapi/v3/account")
POSITIONS = ("GET", "/fapi/v3/positionRisk")
OPEN_ORDERS = ("GET", "/fapi/v1/openOrders")
TRADES = ("GET", "/fapi/v1/userTrades")


def sync(account: ExchangeAccount) -> AccountSyncJob:
    job = account_sync(account=ExchangeAccount.objects.for_sync().get(pk=account.pk), actor=ACTOR)
    assert job is not None
    return job


def sizes(account: ExchangeAccount) -> dict[str, Decimal]:
    rows = Position.objects.filter(account=account)
    return dict(rows.values_list("instrument__venue_symbol", "size"))


def fills_of(seen: Sequence[Observation]) -> list[FillReport]:
    return [fill for item in seen if isinstance(item, FillsSeen) for fill in item.fills]


async def refuse(request: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="<html>maintenance</html>")


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1)
    return web.Response(status=503)


def test_sync_equals_the_venues_own_books(paper: Paper, seen: list[Observation]) -> None:
    account = paper.account("alpha")
    job = sync(account)
    assert (job.status, job.error) == (SyncStatus.SUCCESS, "")
    engine = paper.server.engine
    books = engine.accounts["alpha"]
    assert sizes(account) == {symbol: held.size for symbol, held in books.positions.items()}
    assert sizes(account) == {"BTCUSDT": Decimal("0.5"), "ETHUSDT": Decimal(-2)}
    margin, state = engine.margin(books), AccountState.objects.get()
    cents = Decimal("1e-8")
    assert state.equity == margin.equity.quantize(cents)
    assert state.wallet_balance == margin.wallet.quantize(cents)
    assert state.initial_margin == margin.initial_margin.quantize(cents)
    assert EquitySample.objects.get().equity == state.equity
    assert (job.positions_seen, job.open_orders_seen, state.open_orders) == (2, 0, 0)
    assert (state.last_error, state.positions_at, state.fills_at) == (
        "",
        state.balance_at,
        state.balance_at,
    )
    assert [type(item) for item in seen] == [OrdersSeen, AccountRead, AccountMoved]


def test_fills_are_read_once_known_and_again_with_an_overlap(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    sync(account)
    seen.clear()
    paper.move("alpha", "BTCUSDT", "0.1")
    job = sync(account)
    trades = paper.server.engine.accounts["alpha"].trades
    newest = str(trades[-1].trade_id)
    assert newest in {fill.trade_id for fill in fills_of(seen)}
    assert job.fills_added == 1
    assert sizes(account)["BTCUSDT"] == Decimal("0.6")


def test_position_closed_elsewhere_becomes_flat(paper: Paper, seen: list[Observation]) -> None:
    account = paper.account("alpha")
    sync(account)
    paper.move("alpha", "ETHUSDT", "2")
    sync(account)
    assert sizes(account) == {"BTCUSDT": Decimal("0.5"), "ETHUSDT": Decimal(0)}


@pytest.mark.parametrize("fault", [refuse, hang])
@pytest.mark.parametrize("broken", [BALANCE, POSITIONS, OPEN_ORDERS, TRADES])
def test_failed_query_leaves_its_facts_unknown(
    paper: Paper,
    seen: list[Observation],
    monkeypatch: pytest.MonkeyPatch,
    broken: tuple[str, str],
    fault: Any,
) -> None:
    monkeypatch.setattr("accounts.reading.QUERY_SECONDS", 0.3)
    account = paper.account("alpha")
    paper.gateway.faults[broken] = fault
    job = sync(account)
    state = AccountState.objects.get()
    assert job.status == SyncStatus.PARTIAL
    assert "venue_unavailable" in job.error
    assert (state.last_error, state.last_error_code) == (job.error, "venue_unavailable")
    unknown = {
        BALANCE: (state.equity, state.initial_margin, state.balance_at),
        POSITIONS: (state.positions_at, job.positions_seen, job.fills_added),
        OPEN_ORDERS: (state.orders_at, state.open_orders, job.open_orders_seen),
        TRADES: (state.fills_at, job.fills_added),
    }
    assert set(unknown[broken]) == {None}
    assert bool(sizes(account)) == (broken != POSITIONS)
    assert EquitySample.objects.count() == (broken != BALANCE)
    assert any(isinstance(item, OrdersSeen) for item in seen) == (broken != OPEN_ORDERS)


def test_failed_query_never_overwrites_what_was_known(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    sync(account)
    before = AccountState.objects.values("equity", "positions_at", "open_orders").get()
    paper.gateway.faults |= dict.fromkeys((BALANCE, POSITIONS, OPEN_ORDERS), refuse)
    seen.clear()
    job = sync(account)
    assert job.status == SyncStatus.FAILED
    assert AccountState.objects.values("equity", "positions_at", "open_orders").get() == before
    assert sizes(account) == {"BTCUSDT": Decimal("0.5"), "ETHUSDT": Decimal(-2)}
    assert not any(isinstance(item, AccountMoved | OrdersSeen) for item in seen)


def test_refused_key_is_one_critical_event_until_mended(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha", api_secret="not-the-secret", api_key="unknown-key")
    assert sync(account).status == SyncStatus.FAILED
    sync(account)
    events = MonitoringEvent.objects.filter(account_id="alpha", type="account")
    assert [(event.type, event.severity) for event in events] == [("account", "CRITICAL")]
    assert not Position.objects.exists()
    rekey(account, api_key="key-alpha", api_secret="secret-alpha")
    assert sync(account).status == SyncStatus.SUCCESS
    assert list(events.order_by("created_at").values_list("severity", flat=True)) == [
        "CRITICAL",
        "INFO",
    ]


def test_changed_credentials_take_effect_at_the_next_sync(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    first = egress.execution_client(account)
    assert sync(account).status == SyncStatus.SUCCESS
    assert egress.execution_client(account) is first
    core = paper.server.core
    paper.do(lambda: core.set_account_keys("alpha", "rotated-key", "rotated-secret"))
    assert sync(account).status == SyncStatus.FAILED
    rekey(account, api_key="rotated-key", api_secret="rotated-secret")
    assert sync(account).status == SyncStatus.SUCCESS
    assert egress.execution_client(account) is not first


@pytest.mark.parametrize(
    ("field", "value"), [("api_key", ""), ("api_secret", ""), ("api_key", "line\nbreak")]
)
def test_missing_credential_is_named_and_nothing_is_sent(
    paper: Paper, seen: list[Observation], field: str, value: str
) -> None:
    account = paper.account("alpha", **{field: value})
    job = sync(account)
    assert job.status == SyncStatus.FAILED
    assert "missing_credential" in job.error
    assert field in job.error
    assert paper.gateway.requests == []
    assert AccountState.objects.get().equity is None


def test_unknown_instrument_stays_out_and_keeps_the_look_incomplete(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    Instrument.objects.filter(symbol="ETH").delete()
    job = sync(account)
    sync(account)
    assert job.status == SyncStatus.PARTIAL
    assert "unknown instrument ETHUSDT" in job.error
    assert sizes(account) == {"BTCUSDT": Decimal("0.5")}
    assert AccountState.objects.get().positions_at is None
    told = [e for e in MonitoringEvent.objects.all() if e.payload.get("venueSymbol") == "ETHUSDT"]
    assert len(told) == 1
    state = AccountState.objects.get()
    assert (state.unknown_symbols, state.last_error_code) == (["ETHUSDT"], "unknown_instrument")


@pytest.mark.parametrize(
    ("codes", "gravest"),
    [
        ([], None),
        (["history_unread", "rate_limited"], "rate_limited"),
        (["rate_limited", "not_sent", "venue_unavailable"], "not_sent"),
        (["venue_unavailable", "authentication_failed"], "authentication_failed"),
        (["position_is_odd", "unknown_instrument"], "venue_error"),
    ],
)
def test_of_what_went_wrong_the_gravest_is_kept(codes: list[str], gravest: str | None) -> None:
    assert SyncProblem.gravest(SyncProblem.of(code) for code in codes) == gravest


def test_second_sync_at_the_same_moment_ends_clean(live_paper: Paper) -> None:
    account = live_paper.account("alpha")
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with sync_claim(account.pk) as claimed:
            assert claimed
            entered.set()
            leave.wait(10)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(10)
    assert account_sync(account=account, actor=ACTOR) is None
    assert not AccountSyncJob.objects.exists()
    leave.set()
    holder.join(10)
    assert sync(account).status == SyncStatus.SUCCESS


def test_sync_cut_off_by_a_kill_is_closed_by_the_next(
    paper: Paper, seen: list[Observation]
) -> None:
    account = paper.account("alpha")
    left = AccountSyncJob.objects.create(account=account, started_at=timezone.now())
    sync(account)
    left.refresh_from_db()
    assert (left.status, bool(left.finished_at)) == (SyncStatus.FAILED, True)


def test_due_accounts_are_queued_once(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[str] = []
    monkeypatch.setattr(
        "accounts.jobs.enqueue", lambda runner, **ids: queued.append(ids["account_id"])
    )
    from accounts.jobs import syncs_enqueue_due

    account = paper.account("alpha", sync_interval_seconds=10)
    now = timezone.now()
    assert syncs_enqueue_due(now=now, actor=ACTOR) == 1
    assert syncs_enqueue_due(now=now + timedelta(seconds=30), actor=ACTOR) == 0
    sync(account)
    begun = AccountState.objects.get().sync_started_at
    assert begun is not None
    assert syncs_enqueue_due(now=begun + timedelta(seconds=9), actor=ACTOR) == 0
    assert syncs_enqueue_due(now=begun + timedelta(seconds=10), actor=ACTOR) == 1
    assert syncs_enqueue_due(now=begun + timedelta(seconds=311), actor=ACTOR) == 1
    paper.row.is_enabled = False
    paper.row.save()
    assert syncs_enqueue_due(now=begun + timedelta(days=1), actor=ACTOR) == 0
    assert queued == ["alpha"] * 3


def test_no_secret_reaches_a_record_or_a_log(
    paper: Paper, seen: list[Observation], caplog: pytest.LogCaptureFixture
) -> None:
    canaries = {"api_key": "CANARY-api-key-0001", "api_secret": "CANARY-api-secret-0002"}

    async def echo(request: web.Request) -> web.StreamResponse:
        text = f"{request.headers['X-MBX-APIKEY']} {request.query_string} {canaries['api_secret']}"
        return web.json_response({"code": -2015, "msg": text}, status=401)

    account = paper.account("alpha", **canaries)
    paper.gateway.faults |= dict.fromkeys((BALANCE, POSITIONS, OPEN_ORDERS), echo)
    with caplog.at_level(logging.DEBUG):
        jobs.execute(SyncAccount.name, {"account_id": account.pk})
    run, job = JobRun.objects.get(), AccountSyncJob.objects.get()
    assert (run.status, job.status) == ("failed", SyncStatus.FAILED)
    told = " ".join(
        (
            caplog.text,
            run.error,
            str(run.arguments),
            job.error,
            AccountState.objects.get().last_error,
            *(f"{event.message} {event.payload}" for event in MonitoringEvent.objects.all()),
        )
    )
    assert "CANARY" not in told
    assert "signature=" not in told.replace("signature=[secret]", "")
