"""Newer facts win, whatever order they arrive in."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AccountState, EquitySample, ExchangeAccount, Position
from accounts.observations import Observation
from accounts.services import balance_observe, positions_observe, stream_observe
from controlplane.kernel.units import BaseAmount, Price, QuoteAmount
from markets.venues.types import AccountUpdate, BalanceReport, PositionReport
from monitoring.models import MonitoringEvent
from tests import factories

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def report(symbol: str, size: str, *, venue: float = 0, **facts: Any) -> PositionReport:
    return PositionReport(
        **{
            "venue_symbol": f"{symbol}USDT",
            "size": BaseAmount(Decimal(size)),
            "entry_price": Price(Decimal(100)),
            "mark_price": Price(Decimal(101)),
            "unrealized_pnl": QuoteAmount(Decimal(1)),
            "liquidation_price": Price(Decimal(50)),
            "initial_margin": QuoteAmount(Decimal(10)),
            "at": after(venue),
            **facts,
        }
    )


def balance(at: float, *, equity: str = "100", margin: str = "60") -> BalanceReport:
    return BalanceReport(
        asset="USDT",
        equity=QuoteAmount(Decimal(equity)),
        wallet_balance=QuoteAmount(Decimal(equity)),
        available=QuoteAmount(Decimal(10)),
        initial_margin=QuoteAmount(Decimal(margin)),
        maintenance_margin=QuoteAmount(Decimal(1)),
        at=after(at),
    )


def sizes() -> dict[str, Decimal]:
    return dict(Position.objects.values_list("instrument__symbol", "size"))


@pytest.fixture
def account() -> ExchangeAccount:
    made = factories.account()
    for symbol in ("BTC", "ETH"):
        factories.instrument(venue=made.exchange, symbol=symbol)
    return ExchangeAccount.objects.get(pk=made.pk)


def look(account: ExchangeAccount, at: float, *reports: PositionReport) -> None:
    positions_observe(account=account, reports=reports, at=after(at), complete=True)


def hear(account: ExchangeAccount, at: float, *reports: PositionReport) -> None:
    positions_observe(account=account, reports=reports, at=after(at), complete=False)


def test_complete_look_flattens_what_it_does_not_name(account: ExchangeAccount) -> None:
    look(account, 1, report("BTC", "1"), report("ETH", "-2"))
    look(account, 2, report("BTC", "1"))
    assert sizes() == {"BTC": Decimal(1), "ETH": Decimal(0)}
    flat = Position.objects.get(instrument__symbol="ETH")
    assert (flat.entry_price, flat.unrealized_pnl, flat.observed_at) == (None, 0, after(2))
    assert AccountState.objects.get().positions_at == after(2)


def test_partial_report_touches_only_what_it_names(account: ExchangeAccount) -> None:
    look(account, 1, report("BTC", "1"), report("ETH", "-2"))
    hear(account, 2, report("ETH", "-3"))
    assert sizes() == {"BTC": Decimal(1), "ETH": Decimal(-3)}
    assert AccountState.objects.get().positions_at == after(1)


def test_slow_answer_does_not_undo_what_the_stream_said_since(account: ExchangeAccount) -> None:
    look(account, 1, report("BTC", "1"))
    hear(account, 3, report("BTC", "5"))
    look(account, 2, report("BTC", "1"), report("ETH", "7"))
    assert sizes() == {"BTC": Decimal(5), "ETH": Decimal(7)}
    hear(account, 4, report("BTC", "0"))
    look(account, 3.5, report("BTC", "5"), report("ETH", "7"))
    assert sizes() == {"BTC": Decimal(0), "ETH": Decimal(7)}


def test_slow_answer_does_not_flatten_what_the_stream_has_told_since(
    account: ExchangeAccount,
) -> None:
    hear(account, 3, report("BTC", "5"))
    look(account, 2)
    assert sizes() == {"BTC": Decimal(5)}
    look(account, 4)
    assert sizes() == {"BTC": Decimal(0)}


def test_slow_answer_does_not_undo_a_later_look(account: ExchangeAccount) -> None:
    look(account, 5)
    look(account, 1, report("BTC", "1"))
    hear(account, 4, report("ETH", "1"))
    assert sizes() == {}
    assert AccountState.objects.get().positions_at == after(5)


def test_stream_frames_are_ordered_by_the_venues_time(account: ExchangeAccount) -> None:
    hear(account, 1, report("BTC", "2", venue=20))
    hear(account, 2, report("BTC", "1", venue=10))
    assert sizes() == {"BTC": Decimal(2)}
    hear(account, 3, report("BTC", "3", venue=30))
    assert sizes() == {"BTC": Decimal(3)}


def test_what_a_frame_does_not_tell_is_unknown_once_the_size_changed(
    account: ExchangeAccount,
) -> None:
    look(account, 1, report("BTC", "1"))
    untold: dict[str, Any] = dict.fromkeys(("mark_price", "liquidation_price", "initial_margin"))
    hear(account, 2, report("BTC", "1", **untold))
    row = Position.objects.get()
    assert (row.liquidation_price, row.initial_margin) == (50, 10)
    hear(account, 3, report("BTC", "2", **untold))
    row.refresh_from_db()
    assert (row.mark_price, row.liquidation_price, row.initial_margin) == (101, None, None)


def test_symbol_told_twice_is_not_believed(account: ExchangeAccount) -> None:
    look(account, 1, report("BTC", "1"), report("BTC", "-1"), report("ETH", "1"))
    assert sizes() == {"ETH": Decimal(1)}
    assert AccountState.objects.get().positions_at is None
    assert MonitoringEvent.objects.get().payload["venueSymbol"] == "BTCUSDT"


def test_held_symbol_told_twice_keeps_its_size(account: ExchangeAccount) -> None:
    look(account, 1, report("BTC", "1"))
    look(account, 2, report("BTC", "1"), report("BTC", "-1"))
    assert sizes() == {"BTC": Decimal(1)}
    assert AccountState.objects.get().positions_at == after(1)


def test_flat_unknown_symbol_is_no_news(account: ExchangeAccount) -> None:
    look(account, 1, report("DOGE", "0"))
    assert AccountState.objects.get().positions_at == after(1)
    assert not MonitoringEvent.objects.exists()


def test_older_balance_never_overwrites_a_newer_one(account: ExchangeAccount) -> None:
    balance_observe(account=account, report=balance(2, equity="200"))
    balance_observe(account=account, report=balance(1, equity="100"))
    state = AccountState.objects.get()
    assert (state.equity, state.balance_at) == (200, after(2))


def test_equity_is_sampled_at_intervals(account: ExchangeAccount) -> None:
    for at in (0, 1, 9.9, 10, 19, 20):
        balance_observe(account=account, report=balance(at))
    assert sorted(EquitySample.objects.values_list("at", flat=True)) == [
        after(0),
        after(10),
        after(20),
    ]
    assert set(EquitySample.objects.values_list("utilization", flat=True)) == {Decimal("0.6")}


def test_utilization_alert_comes_at_the_edges_of_the_band_only(account: ExchangeAccount) -> None:
    for at, margin in enumerate(("60", "90", "95", "70", "60", "20", "10", "60")):
        balance_observe(account=account, report=balance(at, margin=margin))
    events = MonitoringEvent.objects.filter(type="utilization-alert").order_by("created_at")
    assert [(event.payload["place"], event.severity) for event in events] == [
        ("above", "WARN"),
        ("inside", "INFO"),
        ("below", "INFO"),
        ("inside", "INFO"),
    ]


def test_frame_updates_the_wallet_and_leaves_equity_alone(
    account: ExchangeAccount,
    seen: list[Observation],
    django_capture_on_commit_callbacks: Any,
) -> None:
    balance_observe(account=account, report=balance(1))
    update = AccountUpdate(
        positions=(report("BTC", "1"),),
        wallet_balance=QuoteAmount(Decimal(99)),
        reason="ORDER",
        venue_ms=0,
    )
    with django_capture_on_commit_callbacks(execute=True):
        stream_observe(account=account, update=update, at=after(2))
    state = AccountState.objects.get()
    assert (state.wallet_balance, state.equity, state.stream_at) == (99, 100, after(2))
    assert seen == []  # the stream tells of it, when the trades are written too
