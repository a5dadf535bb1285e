"""What a private stream says reaches the record at once, and what it misses is read again."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from accounts import lifecycle, observations
from accounts import streams as account_streams
from accounts.consumers import AccountStreamConsumer
from accounts.models import AccountState, AccountSyncJob, ExchangeAccount, Position
from accounts.observations import AccountMoved, FillsSeen, Observation, OrdersSeen
from accounts.selectors import streamed_accounts
from accounts.services import account_sync
from accounts.streams import StreamTerms
from controlplane import bus
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.clock import SYSTEM_CLOCK
from hedging.models import Fill
from markets.feeds.holding import Holding
from markets.feeds.supervisor import StreamKind, Supervisor
from tests.accounts.paper import Paper, rekey

LISTEN_KEY = "/fapi/v1/listenKey"


@contextmanager
def streams(terms: StreamTerms | None = None) -> Iterator[Supervisor]:
    """Hold the private streams of all accounts, as `run_feeds` does, on a thread of its own."""
    app = AccountStreamConsumer.as_asgi(terms=terms or StreamTerms())
    kind = StreamKind("account", streamed_accounts, app, is_exclusive=True)
    supervisor = Supervisor([kind], Holding(SYSTEM_CLOCK))
    loop = asyncio.new_event_loop()

    async def hold() -> None:
        listener = bus.ensure_listening()
        try:
            await supervisor.run()
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    holding = loop.create_task(hold())

    def serve() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(holding)
        except asyncio.CancelledError:
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield supervisor
    finally:
        loop.call_soon_threadsafe(holding.cancel)
        thread.join(10)
        for pool in (account_streams._writers, account_streams._tellers, account_streams._readers):
            drain(pool)


def drain(pool: ThreadPoolExecutor) -> None:
    """Wait until no thread of `pool` works any more, so the database may be emptied."""
    together = threading.Barrier(pool._max_workers + 1)
    for _worker in range(pool._max_workers):
        pool.submit(together.wait, 10)
    together.wait(10)


def wait_for(what: Callable[[], Any], *, seconds: float = 8.0) -> float:
    """Return how long it took until `what` was true."""
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - started


def trade_ids(seen: Sequence[Observation]) -> set[str]:
    return {fill.trade_id for item in seen if isinstance(item, FillsSeen) for fill in item.fills}


def size(symbol: str = "BTC") -> Decimal | None:
    rows = Position.objects.filter(instrument__symbol=symbol).values_list("size", flat=True)
    return rows.first()


def settle(paper: Paper, seen: list[Observation]) -> None:
    """Wait until the stream stands and the look that follows a connection is over."""
    wait_for(lambda: paper.do(lambda: len(paper.server.core.hub.clients)) == 1)
    wait_for(lambda: any(isinstance(item, AccountMoved) for item in seen))
    seen.clear()


def sync(account: ExchangeAccount, *, thorough: bool = False) -> None:
    actor = Actor(name="test", surface=Surface.COMMAND)
    assert account_sync(account=account, actor=actor, thorough=thorough) is not None


def last_trade(paper: Paper) -> str:
    return str(paper.server.engine.accounts["alpha"].trades[-1].trade_id)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markets.feeds.runner.FIRST_DELAY", 0.05)


def test_trade_elsewhere_moves_the_position_and_tells_of_it(
    live_paper: Paper, seen: list[Observation]
) -> None:
    live_paper.account("alpha")
    with streams():
        settle(live_paper, seen)
        live_paper.move("alpha", "BTCUSDT", "0.1")
        wait_for(lambda: any(isinstance(item, OrdersSeen) for item in seen))
        assert size() == Decimal("0.6")
        assert [type(item) for item in seen] == [FillsSeen, AccountMoved, OrdersSeen]
        assert trade_ids(seen) == {last_trade(live_paper)}
        row = Position.objects.get(instrument__symbol="BTC")
        assert row.venue_at is not None
        assert (row.liquidation_price, row.initial_margin) == (None, None)
        state = AccountState.objects.get()
        assert state.stream_at == row.observed_at
        wallet = live_paper.server.engine.accounts["alpha"].wallet
        assert state.wallet_balance == wallet.quantize(Decimal("1e-8"))


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("how", ["listen key expires", "connection drops"])
def test_fills_in_a_gap_are_read_after_reconnecting(
    live_paper: Paper, seen: list[Observation], how: str
) -> None:
    live_paper.account("alpha")
    core = live_paper.server.core
    with streams():
        settle(live_paper, seen)

        def cut() -> None:
            if how == "listen key expires":
                live_paper.server.dialect.end_listen_key("alpha")
            else:
                for client in list(core.hub.clients.values()):
                    core.hub.unsubscribe(client, list(client.streams))
                    client._transport.abort()
            core.move_position("alpha", "BTCUSDT", Decimal("0.2"), source="web")
            core.move_position("alpha", "ETHUSDT", Decimal("2"), source="web")

        live_paper.do(cut)
        missed = {
            str(trade.trade_id) for trade in live_paper.server.engine.accounts["alpha"].trades[-2:]
        }
        took = wait_for(lambda: missed <= trade_ids(seen))
        wait_for(lambda: (size("BTC"), size("ETH")) == (Decimal("0.7"), Decimal(0)))
        assert took < 10
        wait_for(lambda: live_paper.do(lambda: len(core.hub.clients)) == 1)
        live_paper.move("alpha", "BTCUSDT", "0.1")
        wait_for(lambda: size() == Decimal("0.8"))


def test_listen_key_is_prolonged_and_replaced_when_the_venue_has_dropped_it(
    live_paper: Paper, seen: list[Observation]
) -> None:
    live_paper.account("alpha")
    requests = live_paper.gateway.requests

    async def gone(request: web.Request) -> web.StreamResponse:
        body = {"code": -1125, "msg": "This listenKey does not exist."}
        return web.json_response(body, status=400)

    with streams(StreamTerms(keep_seconds=0.2, keep_retry_seconds=0.1)):
        opened_and_confirmed = 2
        wait_for(lambda: requests.count(("POST", LISTEN_KEY)) == opened_and_confirmed)
        prolonged = requests.count(("PUT", LISTEN_KEY))
        wait_for(lambda: requests.count(("PUT", LISTEN_KEY)) >= prolonged + 2)
        assert requests.count(("POST", LISTEN_KEY)) == opened_and_confirmed
        live_paper.gateway.faults["PUT", LISTEN_KEY] = gone
        wait_for(lambda: requests.count(("POST", LISTEN_KEY)) > opened_and_confirmed)


def test_streams_follow_keys_pause_and_deletion(live_paper: Paper, seen: list[Observation]) -> None:
    account = live_paper.account("alpha")
    requests = live_paper.gateway.requests
    core = live_paper.server.core
    with streams() as supervisor:
        settle(live_paper, seen)
        opened = requests.count(("POST", LISTEN_KEY))
        ExchangeAccount.objects.filter(pk=account.pk).update(status="paused")
        live_paper.move("alpha", "BTCUSDT", "0.1")
        wait_for(lambda: size() == Decimal("0.6"))
        assert requests.count(("POST", LISTEN_KEY)) == opened
        live_paper.do(lambda: core.set_account_keys("alpha", "rotated-key", "rotated-secret"))
        rekey(account, api_key="rotated-key", api_secret="rotated-secret")
        lifecycle.account_changed(account)
        assert wait_for(lambda: requests.count(("POST", LISTEN_KEY)) > opened) < 1
        wait_for(lambda: live_paper.do(lambda: len(core.hub.clients)) == 1)
        live_paper.row.is_enabled = False
        live_paper.row.save()
        assert wait_for(lambda: not supervisor.running) < 2


def test_fill_told_by_stream_and_by_sync_is_kept_once(live_paper: Paper) -> None:
    account = live_paper.account("alpha")
    with streams():
        wait_for(lambda: live_paper.do(lambda: len(live_paper.server.core.hub.clients)) == 1)
        wait_for(lambda: AccountSyncJob.objects.filter(status="success").exists())
        for _ in range(5):
            live_paper.move("alpha", "BTCUSDT", "0.1")
        wait_for(lambda: Fill.objects.count() == 5)
        sync(account, thorough=True)
        sync(account)
    trades = live_paper.server.engine.accounts["alpha"].trades
    kept = Fill.objects.order_by("venue_at", "trade_id")
    assert [(fill.trade_id, fill.amount, fill.intent) for fill in kept] == [
        (str(trade.trade_id), trade.amount, None) for trade in trades
    ]


def test_frame_reaches_the_record_quickly(
    live_paper: Paper, seen: list[Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal on a quiet machine: 30 ms to AccountMoved; the bound leaves room for a busy one."""
    moved: list[float] = []

    def note(item: Observation) -> None:
        if isinstance(item, AccountMoved):
            moved.append(time.monotonic())

    live_paper.account("alpha")
    with streams():
        settle(live_paper, seen)
        monkeypatch.setattr(observations, "_handlers", [note])
        delays = []
        for _ in range(20):
            moved.clear()
            started = time.monotonic()
            live_paper.move("alpha", "BTCUSDT", "0.001")
            wait_for(lambda: moved)
            delays.append(moved[0] - started)
    assert sorted(delays)[18] < 0.15
