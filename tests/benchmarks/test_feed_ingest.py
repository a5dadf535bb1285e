"""What feed-ingest reports of its readers' results, and its reader of ours; nothing is timed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import psutil
import pytest

from controlplane.benchmarks import feed_ingest, ingest_feeder
from controlplane.benchmarks.report import BenchmarkFailed

BEGINS_A_FEEDER: Final = """
import subprocess, sys
command = [sys.executable, "-m", "controlplane.benchmarks.ingest_feeder", "1@1", "BTCUSDT"]
with subprocess.Popen(command, stdout=subprocess.PIPE) as feeder:
    feeder.stdout.readline()
    print(feeder.pid, flush=True)
"""


def result(cpu: float, p99: float, lost: int | None = 0, calm: float = 100) -> dict[str, Any]:
    told = {"cpuMicros": cpu, "cpuCalmMicros": calm, "p50Micros": p99 / 2, "p99Micros": p99}
    told["cpuFastMicros"] = 2 * cpu
    return {**told, "messages": 50, "lost": lost, "version": None, "sentLateP99Micros": 7}


ROUND = {
    "ours": result(20, 100),
    "ccxt.pro": result(70, 2000, calm=300),
    "websockets": result(10, 90, None, calm=60),
    "socket": result(4, 80, None, calm=50),
}


def test_ratios_are_of_readers_in_one_run_and_the_library_is_told_apart() -> None:
    report = feed_ingest.report([ROUND])
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert figures["cpu_of_ccxt"] == 0.286
    assert figures["cpu_calm_of_ccxt"] == 0.333
    assert (figures["cpu_websockets"], figures["cpu_socket"]) == (10, 4)
    assert figures["cpu_over_socket"] == 16
    assert (figures["p99_of_ccxt"], figures["p99_socket_of_ccxt"]) == (0.05, 0.04)
    assert figures["sent_late_p99"] == 7
    assert report.is_met
    assert [peer["name"] for peer in report.peers][:3] == ["ccxt.pro", "websockets", "socket"]
    assert "absent" in report.peers[3]


def test_a_figure_is_of_the_best_round_of_each_and_each_round_is_kept() -> None:
    """A busy moment spoils the round it falls into, whichever reader it meets, and no figure."""
    busy = {name: result(90, 9000, told["lost"]) for name, told in ROUND.items()}
    theirs = {**ROUND, "ccxt.pro": result(700, 90_000)}
    slower = {**ROUND, "ours": result(21, 150)}
    report = feed_ingest.report([busy, slower, ROUND, theirs, ROUND])
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert (figures["p99_of_ccxt"], figures["cpu_of_ccxt"], figures["p99"]) == (0.05, 0.286, 100)
    assert figures["messages"] == 250
    assert report.document()["rounds"] == [busy, slower, ROUND, theirs, ROUND]
    assert report.peers[0]["p99Micros"] == 2000


def test_cryptofeed_is_a_peer_with_goals_where_it_was_run() -> None:
    report = feed_ingest.report([{**ROUND, "cryptofeed": result(25, 90)}])
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert (figures["cpu_of_cryptofeed"], figures["p50_of_cryptofeed"]) == (0.8, 1.111)
    assert [peer["name"] for peer in report.peers][3:] == ["cryptofeed"]
    assert not report.is_met


def test_a_lost_message_is_seen_by_its_bid_and_misses_the_goal() -> None:
    raw = {"spent": [0.004, 0.002, 0.001], "delays": [9_000_000, 1000, 2000, 3000, 4000, 8_000_000]}
    bids = ["60000.10", "60000.20", "60000.50", "60000.60"]
    assert feed_ingest.result_of({**raw, "bids": bids}, (1, 4, 1))["lost"] == 2
    around = ["60099.80", "60099.90", "60000.00", "60000.10"]
    seen = feed_ingest.result_of({**raw, "bids": around}, (1, 4, 1))
    assert (seen["lost"], seen["cpuMicros"], seen["cpuCalmMicros"]) == (0, 1000, 4000)
    assert (seen["p50Micros"], seen["p99Micros"], seen["messages"]) == (2, 4, 6)
    assert feed_ingest.result_of({**raw, "bids": []}, (1, 4, 1))["lost"] is None
    assert not feed_ingest.report([ROUND, {**ROUND, "ours": result(20, 100, lost=1)}]).is_met


async def run_readers(*names: str) -> list[Mapping[str, Any]]:
    async with feed_ingest.stage(300, paces=(1_000, 5_000)) as measured:
        return [await measured(name, feed_ingest._command(name)) for name in names]


def test_our_reader_puts_every_message_on_the_board() -> None:
    seen = asyncio.run(run_readers("ours", "websockets"))
    assert [(told["messages"], told["lost"]) for told in seen] == [(630, 0), (630, None)]


def test_a_reader_that_cannot_start_is_a_benchmark_that_failed() -> None:
    with pytest.raises(BenchmarkFailed, match="KeyError: 'nobody'"):
        asyncio.run(run_readers("nobody"))


def test_the_stream_is_evenly_spaced_and_each_message_numbered_and_dated() -> None:
    dues = ingest_feeder._dues([(2, 1_000), (3, 10_000)])
    assert list(islice(dues, 7)) == [
        0,
        1_000_000,
        2_000_000,
        2_100_000,
        2_200_000,
        2_300_000,
        2_400_000,
    ]
    before, after = ingest_feeder._template(("BTCUSDT", "ETHUSDT"), 1003)
    quote = json.loads(b"%b%d%b" % (before, 17, after))["data"]
    assert (quote["s"], quote["u"], quote["b"], quote["a"]) == (
        "ETHUSDT",
        17,
        "60000.30",
        "60000.40",
    )


def test_the_feeder_ends_with_whoever_began_it() -> None:
    command = [sys.executable, "-c", BEGINS_A_FEEDER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        feeder = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    feeder.wait(30)
    assert not feeder.is_running()
