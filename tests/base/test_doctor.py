"""The doctor names what is wrong and what to do, and exits accordingly."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from controlplane import doctor
from controlplane.doctor import Verdict
from controlplane.supervision import clusters
from markets import bans
from markets.models import Venue
from markets.venue_watch import TimeTold
from markets.venues.ratelimit.limiter import Limiter
from markets.venues.ratelimit.terms import Limit, Scope, Terms
from monitoring.models import ClusterPulse
from tests import factories

pytestmark = pytest.mark.django_db


def findings(**options: Any) -> dict[str, dict[str, str]]:
    output = io.StringIO()
    with pytest.raises(CommandError) as unhealthy:
        call_command("doctor", json=True, stdout=output, **options)
    assert unhealthy.value.returncode == 1
    return {one["name"]: one for one in json.loads(output.getvalue())["findings"]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.queue, "__kwdefaults__", {"seconds": 0.05})
    monkeypatch.setattr(doctor, "VENUE_SECONDS", 1.0)
    Venue.objects.update(is_enabled=False)


def test_silent_cluster_fails_with_the_command_that_starts_it() -> None:
    found = findings(offline=True)
    assert found["queue hedge"]["verdict"] == "fail"
    assert "Q_CLUSTER_NAME=hedge" in found["queue hedge"]["advice"]
    assert (found["database"]["verdict"], found["migrations"]["verdict"]) == ("ok", "ok")


def test_cluster_that_answers_is_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(cluster: str) -> Any:
        now = timezone.now()
        ClusterPulse.objects.create(cluster=cluster, asked_at=now, heard_at=now)
        return now

    monkeypatch.setattr(clusters, "ask", answered)
    output = io.StringIO()
    call_command("doctor", offline=True, json=True, stdout=output)
    assert json.loads(output.getvalue())["healthy"] is True


def test_missing_migration_fails_and_ends_the_examination() -> None:
    (latest,) = MigrationLoader(connection).graph.leaf_nodes("monitoring")
    MigrationRecorder(connection).record_unapplied(*latest)
    found = findings(offline=True)
    assert found["migrations"]["advice"] == "Run: manage.py migrate"
    assert "secrets" not in found


def test_unreachable_database_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused, password=hunter2hunter2")

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    found = doctor.database()
    assert found.verdict is Verdict.FAIL
    assert "hunter2" not in found.message


def test_stale_feed_fails_and_healthy_feed_is_ok() -> None:
    now = timezone.now()
    fresh = factories.feed(status="healthy", last_heartbeat=now)
    stale = factories.feed(status="healthy", last_heartbeat=now - timedelta(seconds=11))
    unheard = factories.feed()
    found = findings(offline=True)
    assert found[f"feed {fresh.pk}"]["verdict"] == "ok"
    assert found[f"feed {stale.pk}"]["verdict"] == "fail"
    assert "never" in found[f"feed {unheard.pk}"]["message"]


def test_unreachable_venue_fails_and_another_venue_is_not_asked() -> None:
    dead, other = factories.venue(), factories.venue()
    found = findings(venue=dead.pk)
    assert found[f"venue {dead.pk}"]["verdict"] == "fail"
    assert f"venue {other.pk}" not in found


@pytest.mark.parametrize(
    ("milliseconds", "verdict"),
    [(0, Verdict.OK), (-400, Verdict.OK), (900, Verdict.WARN), (-2500, Verdict.FAIL)],
)
def test_clock_offset_is_judged_from_the_middle_of_the_round_trip(
    milliseconds: int, verdict: Verdict
) -> None:
    heard = timezone.now()
    theirs = heard + timedelta(milliseconds=milliseconds - 100)
    told = TimeTold(theirs, heard, sent_ns=0, received_ns=200_000_000)
    found = doctor._clock_finding("venue x", told)
    assert found.verdict is verdict
    assert f"{milliseconds:+d} ms" in found.message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere", "There is no venue nowhere. ccxt knows no venue 'nowhere'."),
        (
            "bybt",
            "ccxt knows no venue 'bybt'; close to it: bybit, bybiteu, bybitid.",
        ),
        ("binanceusdm", "binanceusdm has an adapter of its own: choose the dialect binance."),
    ],
)
def test_unknown_venue_is_a_usage_error_that_says_why(name: str, told: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("doctor", venue=name, offline=True)
    assert refused.value.returncode == 2
    assert str(refused.value).endswith(told)


@pytest.mark.parametrize(
    ("name", "can_not"),
    [
        ("bybit", "dead_man_timer"),
        ("okx", "set_margin_mode"),
        ("hyperliquid", "market_orders"),
    ],
)
def test_a_venue_not_set_up_is_told_by_its_name_in_ccxt(name: str, can_not: str) -> None:
    output = io.StringIO()
    call_command("doctor", venue=name, json=True, stdout=output)
    found = {one["name"]: one for one in json.loads(output.getvalue())["findings"]}
    assert set(found) == {f"venue {name}", f"venue {name} can", f"venue {name} cannot"}
    assert found[f"venue {name}"]["verdict"] == "warn"
    assert "private_stream" in found[f"venue {name} cannot"]["message"]
    assert can_not in found[f"venue {name} cannot"]["message"]


def test_a_banned_way_and_the_use_of_limits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Limiter()
    monkeypatch.setattr(doctor, "limiter", lambda: made)
    terms = Terms((Limit(Scope.EXIT, 100, 60),))
    made.gate("venue.example", exit_name="direct", account="a", terms=terms)
    made.gate("other.example", exit_name="direct", account="a", terms=terms)
    factories.venue(
        rest_endpoint="https://venue.example", ws_endpoint="wss://venue.example", is_enabled=False
    )
    bans.ban_post(key="venue.example proxy:1", seconds=60, reason="-1003")
    bans.ban_post(key="elsewhere.example direct", seconds=60, reason="-1003")
    found = {name: one for name, one in findings().items() if name.startswith("limits ")}
    assert set(found) == {"limits venue.example proxy:1", "limits venue.example direct"}
    assert found["limits venue.example proxy:1"]["verdict"] == "fail"
    assert found["limits venue.example direct"]["verdict"] == "ok"
    assert found["limits venue.example direct"]["message"] == (
        "0 of 100 in 60 s, 20 kept for cancels"
    )
