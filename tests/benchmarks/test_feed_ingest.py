"""What feed-ingest reports of its readers' results, and its reader of ours; nothing is timed."""

import asyncio
from typing import Any

from controlplane.benchmarks import feed_ingest


def result(cpu: float, p99: float) -> dict[str, Any]:
    return {"cpuMicros": cpu, "p50Micros": p99 / 2, "p99Micros": p99, "messages": 50}


def test_ratios_are_of_readers_in_one_run_and_the_library_is_told_apart() -> None:
    fast = {"ours": result(20, 100), "ccxt.pro": result(70, 2000), "websockets": result(10, 90)}
    fast["socket"] = result(4, 80)
    calm = {"ours": result(100, 100), "ccxt.pro": result(300, 200), "websockets": result(60, 90)}
    calm["socket"] = result(50, 90)
    report = feed_ingest.report(calm, fast)
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert figures["cpu_of_ccxt"] == 0.286
    assert (figures["cpu_websockets"], figures["cpu_socket"]) == (10, 4)
    assert figures["cpu_over_socket"] == 16
    assert figures["p99_of_ccxt"] == 0.05
    assert report.is_met
    assert [peer["name"] for peer in report.peers][:3] == ["ccxt.pro", "websockets", "socket"]


def test_our_reader_puts_every_message_on_the_board() -> None:
    told: list[str] = []
    seen = asyncio.run(feed_ingest._measured("ours", 5_000, 300, told.append))
    assert seen["messages"] == 300
    assert len(told) == 1
