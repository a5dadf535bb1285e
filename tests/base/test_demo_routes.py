"""The demo's proof: whose leg was hedged where, and that nobody went out directly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import ExchangeAccount
from controlplane.demo import crossings, data
from controlplane.demo.layout import demo_layout
from controlplane.demo.routes import Passage, judged
from hedging.models import HedgeExecution
from strategies.models import OrderIntent
from tests import factories

WAYS = {"127.0.0.2:1111": "127.0.0.2:9", "127.0.0.3:2222": "127.0.0.3:9"}
ORDER = Passage("alpha", "POST /order", "127.0.0.2:1111", "ID")
SOCKET = Passage("beta", "socket /ws", "127.0.0.3:2222", is_socket=True)


def test_private_passages_out_of_tunnels_are_no_problem() -> None:
    found = judged([ORDER, SOCKET], ways=WAYS, recorded={"ID": "127.0.0.2:9"})
    assert (found.problem, found.requests, found.sockets) == ("", 1, 1)
    assert found.exits == ["127.0.0.2:9", "127.0.0.3:9"]


@pytest.mark.parametrize("peer", ["127.0.0.1:1111", "127.0.0.2:1112", ""])
@pytest.mark.parametrize("is_socket", [True, False])
def test_passage_from_outside_every_tunnel_went_out_directly(peer: str, is_socket: bool) -> None:
    direct = Passage("alpha", "GET /account", peer, is_socket=is_socket)
    found = judged([ORDER, SOCKET, direct], ways=WAYS, recorded={"ID": "127.0.0.2:9"})
    assert found.direct == [direct]
    assert found.problem.startswith("1 went out directly: alpha GET /account")


@pytest.mark.parametrize("recorded", [{}, {"ID": "127.0.0.3:9"}, {"ID": "no proxy"}])
def test_order_by_another_exit_than_on_record_is_told(recorded: dict[str, str]) -> None:
    found = judged([ORDER, SOCKET], ways=WAYS, recorded=recorded)
    assert found.astray == [ORDER]
    assert "not on record" in found.problem


@pytest.mark.parametrize("passages", [[], [ORDER], [SOCKET]])
def test_nothing_seen_proves_nothing(passages: list[Passage]) -> None:
    found = judged(passages, ways=WAYS, recorded={"ID": "127.0.0.2:9"})
    assert found.problem == "nothing private was sent"


@pytest.mark.django_db
def test_leg_that_moved_last_is_the_one_that_was_hedged(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = demo_layout(lambda _host: 41001)
    data.demo_load(layout=layout, password="a-long-demo-password")
    hedge = executed("pacifica-alpha", by="aster-alpha-1")
    at_ns = int(hedge.created_at.timestamp() * 1e9)
    moved = [
        {"account": "aster-alpha-2", "symbol": "BTCUSDT", "atNs": at_ns - 9_000, "external": True},
        {"account": "pacifica-alpha", "symbol": "BTC", "atNs": at_ns - 5_000, "external": True},
        {"account": "pacifica-beta", "symbol": "BTC", "atNs": at_ns - 3_000, "external": True},
        {"account": "aster-alpha-1", "symbol": "ETHUSDT", "atNs": at_ns - 2_000, "external": True},
        {"account": "aster-alpha-1", "symbol": "BTCUSDT", "atNs": at_ns + 9_000, "external": True},
        {"account": "aster-alpha-1", "symbol": "BTCUSDT", "atNs": at_ns - 1_000, "external": False},
    ]
    monkeypatch.setattr(crossings, "ledger", lambda venue, _kind: told_by(venue, moved))
    assert crossings.crossings(layout.venues) == {("paper-pacifica", "paper-aster")}
    assert crossings.missing(layout.venues) == "not hedged yet: paper-binance by paper-pacifica"


def told_by(venue: Any, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    mine = {account.account_id for account in venue.accounts}
    return [entry for entry in entries if entry["account"] in mine]


def executed(primary: str, *, by: str) -> HedgeExecution:
    account = ExchangeAccount.objects.get(pk=by)
    contract = account.exchange.instruments.get(symbol="BTC")
    intent = factories.intent(account=account, instrument=contract, sandbox=False)
    sent = OrderIntent.objects.filter(pk=intent.pk)
    sent.update(state="submitted", submission="sending")
    sent.update(state="filled", submission="acknowledged", filled_amount=intent.amount)
    hedge = HedgeExecution.objects.create(
        book="alpha",
        symbol="BTC",
        primary_account_id=primary,
        hedge_account_id=by,
        delta_before=Decimal("0.01"),
        delta_after=Decimal(0),
        threshold=Decimal("0.0005"),
        trigger_reason="delta",
        result="success",
        duration_ms=1,
        finished_at=datetime.now(UTC),
    )
    hedge.intents.add(intent)
    return hedge
