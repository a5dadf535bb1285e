"""In which order what a private stream says is written down and told."""

import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts import observations
from accounts import streams as account_streams
from accounts.models import Position
from accounts.observations import AccountMoved, FillsSeen, Observation
from markets.venues.types import (
    AccountUpdate,
    FillReport,
    PositionReport,
    PrivateEvent,
    Side,
)
from tests.accounts.paper import Paper
from tests.accounts.test_streams import settle, size, streams, wait_for


def _trade(at: datetime) -> FillReport:
    return FillReport(
        "BTCUSDT",
        "1",
        "2",
        None,
        Side.BUY,
        Decimal("0.7"),  # type: ignore[arg-type]
        Decimal(60_000),  # type: ignore[arg-type]
        Decimal(0),
        "USDT",
        False,
        at,
    )


def test_a_trade_is_written_before_the_position_it_made(
    live_paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = live_paper.account("alpha")
    at = datetime.now(UTC)
    made = PositionReport("BTCUSDT", Decimal("0.7"), None, None, None, None, None, at)  # type: ignore[arg-type]
    update = AccountUpdate((made,), None, "ORDER", int(at.timestamp() * 1000))
    trade = _trade(at)
    told: list[tuple[Observation, int]] = []
    monkeypatch.setattr(
        observations, "_handlers", [lambda item: told.append((item, Position.objects.count()))]
    )
    batch: list[tuple[PrivateEvent, datetime]] = [(update, at), (trade, at)]
    account_streams.write_events(account, batch)
    assert told == [(FillsSeen("alpha", [trade]), 0)]
    assert size() == Decimal("0.7")
    told.clear()
    account_streams.tell_events(account, batch)
    assert told == [(AccountMoved("alpha"), 1)]


def test_what_a_trade_leads_to_waits_for_the_look_at_its_book(
    live_paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = live_paper.account("alpha")
    at = datetime.now(UTC)
    told: list[str] = []

    def react(item: Observation) -> observations.Followup | None:
        told.append(type(item).__name__)
        return (lambda: told.append("news")) if isinstance(item, FillsSeen) else None

    monkeypatch.setattr(observations, "_handlers", [react])
    batch: list[tuple[PrivateEvent, datetime]] = [
        (AccountUpdate((), None, "ORDER", int(at.timestamp() * 1000)), at),
        (_trade(at), at),
    ]
    followups = account_streams.write_events(account, batch)
    account_streams.tell_events(account, batch, followups)
    assert told == ["FillsSeen", "AccountMoved", "news"]


def test_no_look_at_a_book_holds_a_trade_back(
    live_paper: Paper, seen: list[Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Observation] = []
    trades: set[str] = set()
    looked = threading.Event()

    def react(item: Observation) -> None:
        if isinstance(item, FillsSeen):
            trades.update(fill.trade_id for fill in item.fills)
        elif isinstance(item, AccountMoved):
            looks.append(item)
            looked.wait(30)

    live_paper.account("alpha")
    with streams():
        settle(live_paper, seen)
        monkeypatch.setattr(observations, "_handlers", [react])
        try:
            live_paper.move("alpha", "BTCUSDT", "0.1")
            wait_for(lambda: looks)
            for _ in range(2):
                live_paper.move("alpha", "BTCUSDT", "0.1")
            wait_for(lambda: len(trades) == 3 and size() == Decimal("0.8"))
            assert len(looks) == 1
        finally:
            looked.set()
        wait_for(lambda: len(looks) > 1)
