"""What fill-latency reports of a stage's figures; nothing here is timed."""

from typing import Any

from controlplane.benchmarks.fill_latency import report
from controlplane.benchmarks.fill_stage import DIALECTS, StageVenue
from markets.venues.paper.config import config_from_mapping


def facts(**changes: Any) -> dict[str, Any]:
    quick = {name: [10.0, 20.0] for name in DIALECTS}
    return {"missed": 0, "written": quick, "heard": {name: [2.0] for name in DIALECTS}, **changes}


def test_figures_are_percentiles_over_all_dialects_and_each() -> None:
    written = {"binance": [10.0] * 18, "aster": [90.0], "pacifica": [120.0]}
    told = report(facts(written=written))
    assert {name: figure.value for name, figure in told.figures.items()} == {
        "p50": 10.0,
        "p95": 90.0,
        "p99": 120.0,
        "max": 120.0,
        "binance_p95": 10.0,
        "aster_p95": 90.0,
        "pacifica_p95": 120.0,
        "bare_p95": 2.0,
        "over_bare": 45.0,
        "missed": 0,
        "fills": 20,
    }
    assert told.is_met
    assert told.peers[0]["name"] == "bare websocket client"


def test_late_or_missed_fill_misses_the_goal() -> None:
    assert not report(facts(written={name: [151.0] for name in DIALECTS})).is_met
    assert not report(facts(missed=1)).is_met


def test_each_dialects_venue_takes_the_stages_accounts() -> None:
    for dialect in DIALECTS:
        venue = StageVenue(dialect, 0)
        config = config_from_mapping(venue.configuration())
        assert [account.label for account in config.accounts] == venue.labels
