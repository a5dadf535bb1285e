"""What feed-silence reports, and one silence of real sockets; nothing is timed."""

import pytest

from controlplane.benchmarks import feed_silence
from controlplane.benchmarks.feed_silence import Trial
from controlplane.benchmarks.report import BenchmarkFailed


def test_worst_trial_counts_and_so_does_each_look_at_an_older_price() -> None:
    report = feed_silence.report([Trial(2.01, 2.3), Trial(2.26, 2.5, stale=1)])
    figures = {name: figure.value for name, figure in report.figures.items()}
    assert (figures["degraded_max"], figures["usable_max"]) == (2260, 2500)
    assert [goal["met"] for goal in report.document()["goals"]] == [False, True, False]


def test_trial_that_never_ended_is_no_figure() -> None:
    with pytest.raises(BenchmarkFailed, match="never degraded"):
        feed_silence.report([Trial(2.0, None)])


def test_one_silence_ends_in_a_price_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_silence, "FEEDS", 2)
    report = feed_silence.run(count=2, say=lambda _text: None)
    assert report.figures["trials"].value == 2
    assert report.figures["stale_prices"].value == 0
