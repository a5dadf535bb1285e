"""The shape of what order-path and account-sync report; nothing here is timed."""

import pytest

from controlplane.benchmarks import account_sync, cancel_wait, emergency_stop, order_path

pytestmark = pytest.mark.slow


def test_order_path_reports_every_venue_against_ccxt() -> None:
    said: list[str] = []
    report = order_path.run(count=2, say=said.append)
    assert {goal.figure for goal in report.goals} == {"binance_p50", "pacifica_p50", "aster_p50"}
    assert all(
        report.figures[f"{name}_{kind}"].value > 0
        for name in order_path.LIMITS
        for kind in ("p50", "cpu", "us")
    )
    assert [peer["name"] for peer in report.peers] == [f"ccxt {name}" for name in order_path.LIMITS]
    assert len(said) == 3


def test_emergency_stop_reports_its_ratio_to_a_bare_client() -> None:
    report = emergency_stop.run(count=3, say=lambda _text: None)
    assert {goal.figure for goal in report.goals} <= set(report.figures)
    assert report.figures["accounts"].value == 3
    assert report.figures["not_confirmed"].value == 0
    assert [peer["name"] for peer in report.peers] == ["bare aiohttp"]


def test_cancel_wait_reports_cancels_that_went_out_while_orders_queued() -> None:
    report = cancel_wait.run(count=3, say=lambda _text: None)
    assert {goal.figure for goal in report.goals} == {"cancel_p99", "refused_by_venue"}
    assert report.figures["cancels"].value == 3
    assert report.figures["orders_waiting"].value > 0
    assert report.figures["refused_by_venue"].value == 0


def test_account_sync_reports_ratios_to_both_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_sync, "TURNS", 1)
    monkeypatch.setattr(account_sync, "ROUNDS", 1)
    report = account_sync.run(count=2, say=lambda _text: None)
    assert report.figures["accounts"].value == 2
    assert {goal.figure for goal in report.goals} == {"cold", "cold_cpu", "memory", "warm"}
    assert all(report.figures[goal.figure].value > 0 for goal in report.goals)
    assert len(report.peers) == 2
