"""How feed-burst finds and plays the busiest second; nothing is timed."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.benchmarks import feed_burst
from controlplane.benchmarks.report import BenchmarkFailed


def line(at_ms: int, number: int, kind: str = "bookTicker") -> str:
    data: dict[str, Any] = {"e": kind, "u": number, "s": "BTCUSDT", "E": at_ms, "T": at_ms}
    if kind == "bookTicker":
        data |= {"b": "100.1", "B": "1", "a": f"100.{number % 8 + 2}", "A": "1"}
    return f"{at_ms}000000 {json.dumps({'stream': f'btcusdt@{kind}', 'data': data})}\n"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Twenty seconds with a quote each, and in the twelfth a burst of 30 and a trade."""
    first = 1_723_161_250_000
    lines = [line(first + 1000 * second, second) for second in range(20)]
    lines += [line(first + 12_000 + 10 * n, 100 + n) for n in range(1, 31)]
    lines.append(line(first + 12_500, 999, "trade"))
    path = tmp_path / "market.txt.gz"
    path.write_bytes(gzip.compress("".join(sorted(lines)).encode()))
    return path


def test_burst_is_played_with_what_surrounds_it(capture: Path) -> None:
    lines, rate = feed_burst.busiest(capture)
    assert (len(lines), rate) == (9 + 31, 32)
    assert lines[0][0] // 10**9 == 1_723_161_258


def test_every_quote_of_the_burst_is_read_and_its_delay_kept(capture: Path) -> None:
    report = feed_burst.run(count=1, say=lambda _text: None, capture=capture)
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert (figures["quotes"], figures["lost"], figures["busiest"]) == (39, 0, 128)


def test_late_or_lost_quotes_miss_the_goals() -> None:
    seen = {"delays": [1.0] * 98 + [101.0, 102.0], "late": [0.0], "sent": 101, "cpuMicros": 9.0}
    report = feed_burst.report(seen, 2466)
    assert [goal["met"] for goal in report.document()["goals"]] == [False, False]
    assert report.figures["busiest"].value == 9864


def test_file_that_is_no_capture_is_said(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text("nothing\n")
    with pytest.raises(BenchmarkFailed, match="is no capture"):
        feed_burst.run(count=1, say=lambda _text: None, capture=path)
