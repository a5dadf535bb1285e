"""What feed-ingest reports of its readers' results, and its reader of ours; nothing is timed."""

import asyncio
from typing import Any

from controlplane.benchmarks import feed_ingest


def result(cpu: float, p99: float, lost: int | None = 0) -> dict[str, Any]:
    told = {"cpuMicros": cpu, "p50Micros": p99 / 2, "p99Micros": p99, "messages": 50}
    return {**told, "lost": lost, "version": None}


FAST = {
    "ours": result(20, 100),
    "ccxt.pro": result(70, 2000),
    "websockets": result(10, 90, None),
    "socket": result(4, 80, None),
}
CALM = {
    "ours": result(100, 100),
    "ccxt.pro": result(300, 200),
    "websockets": result(60, 90, None),
    "socket": result(50, 90, None),
}


def test_ratios_are_of_readers_in_one_run_and_the_library_is_told_apart() -> None:
    report = feed_ingest.report(CALM, FAST)
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert figures["cpu_of_ccxt"] == 0.286
    assert (figures["cpu_websockets"], figures["cpu_socket"]) == (10, 4)
    assert figures["cpu_over_socket"] == 16
    assert figures["p99_of_ccxt"] == 0.05
    assert report.is_met
    assert [peer["name"] for peer in report.peers][:3] == ["ccxt.pro", "websockets", "socket"]
    assert "absent" in report.peers[3]


def test_cryptofeed_is_a_peer_with_goals_where_it_was_run() -> None:
    fast, calm = ({**results, "cryptofeed": result(25, 90)} for results in (FAST, CALM))
    report = feed_ingest.report(calm, fast)
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert (figures["cpu_of_cryptofeed"], figures["p50_of_cryptofeed"]) == (0.8, 1.111)
    assert [peer["name"] for peer in report.peers][3:] == ["cryptofeed"]
    assert not report.is_met


def test_a_lost_message_is_seen_by_its_bid_and_misses_the_goal() -> None:
    raw = {"spent": 0.001, "delays": [1000, 2000, 3000, 4000]}
    bids = ["60000.10", "60000.20", "60000.50", "60000.60"]
    assert feed_ingest.figures_of({**raw, "bids": bids})["lost"] == 2
    around = ["60099.80", "60099.90", "60000.00", "60000.10"]
    seen = feed_ingest.figures_of({**raw, "bids": around})
    assert (seen["lost"], seen["cpuMicros"], seen["p99Micros"]) == (0, 250, 4)
    assert feed_ingest.figures_of({**raw, "bids": []})["lost"] is None
    assert not feed_ingest.report(CALM, {**FAST, "ours": result(20, 100, lost=1)}).is_met


def test_our_reader_puts_every_message_on_the_board() -> None:
    told: list[str] = []
    command = feed_ingest._command("ours")
    seen = asyncio.run(feed_ingest._measured("ours", command, 5_000, 300, told.append))
    assert (seen["messages"], seen["lost"]) == (300, 0)
    assert len(told) == 1
