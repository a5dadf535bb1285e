"""H08 · Stop rules over a real venue: confirmed twice, once, latched, armed again by a person."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import account_resume
from accounts.models import AccountState, ExchangeAccount
from accounts.services import account_sync
from controlplane.background import Background
from controlplane.base.audit import Actor, Surface
from controlplane.emergencies import Emergencies
from hedging.emergency.rules import RuleWatch
from hedging.emergency.verbs import stop_release
from hedging.models import EmergencyStop, StopRule
from markets.models import Quote
from markets.venues.paper.faults import Fault, FaultKind, Topic
from markets.venues.paper.rules import Reason
from monitoring.models import MonitoringEvent
from tests import factories
from tests.faults.conftest import ACTOR, Stage
from tests.faults.stopping import drive, floor, states, system_hedge

D = Decimal
PERSON = Actor(name="ann", surface=Surface.ADMIN, user_id=1)


def rule(trigger: str, threshold: str, **fields: Any) -> StopRule:
    return StopRule.objects.create(
        stop_rule_id=f"my-{trigger}", trigger=trigger, threshold=D(threshold), **fields
    )


def watch() -> Emergencies:
    """The sentinel's watch, without threads: what is in doubt is read anew in the same look."""
    return Emergencies(ACTOR, Background())


def status(name: str = "alpha") -> str:
    found: str = ExchangeAccount.objects.get(pk=name).status
    return found


def told() -> list[str]:
    rows = MonitoringEvent.objects.filter(payload__code="stop-rule").order_by("event_id")
    return [row.payload["trigger"] for row in rows]


def resume(stage: Stage) -> None:
    account_resume(account=stage.account, actor=PERSON, reason="looked at")
    stage.account.refresh_from_db()


def transfer(stage: Stage, amount: str) -> None:
    out = Fault(FaultKind.TRANSFER, account="alpha", amount=D(amount))
    stage.paper.do(lambda: stage.paper.server.faults.add(out))


def test_h08_a_margin_ratio_pauses_once_and_again_after_rearm(stage: Stage) -> None:
    rule("margin", "0.05")
    sentinel = watch()
    assert sentinel.rules() == 0
    transfer(stage, "-99000")
    stage.sync()
    assert (sentinel.rules(), status()) == (0, "active")  # one reading; a second is asked for
    assert (sentinel.rules(), status()) == (1, "paused")
    assert [sentinel.rules(), watch().rules(), watch().rules()] == [0, 0, 0]
    assert sentinel._rules.doubted == set()  # what is held already is not asked about
    event = MonitoringEvent.objects.get(payload__code="stop-rule")
    assert (event.severity, event.account_id, event.payload["scope"]) == (
        "CRITICAL", "alpha", "account",
    )  # fmt: skip
    resume(stage)
    assert [sentinel.rules(), status()] == [0, "active"]  # readings from before do not count
    stage.sync()
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 1, "paused"]
    assert told() == ["margin", "margin"]


def test_h08_one_bad_margin_reading_trips_nothing(stage: Stage) -> None:
    rule("margin", "0.05")
    sentinel = watch()
    AccountState.objects.update(maintenance_margin=D(90_000))
    assert [sentinel.rules(), sentinel.rules(), sentinel.rules()] == [0, 0, 0]
    assert (status(), told()) == ("active", [])


def test_h08_rejects_in_the_window_pause_and_older_ones_count_no_more(stage: Stage) -> None:
    rule("rejects", "2", window_seconds=60)
    sentinel = watch()

    def refused(count: int) -> None:
        for number in range(count):
            fault = Fault(FaultKind.REFUSE, topic=Topic.PLACE, reason=Reason.INSUFFICIENT_MARGIN)
            stage.paper.do(partial(stage.paper.server.faults.add, fault))
            amount = D("0.01") + D("0.001") * number
            assert stage.submit(stage.wish(amount=amount)) == ("failed", "acknowledged")

    refused(2)
    assert [sentinel.rules(), sentinel.rules()] == [0, 0]  # at the threshold is not beyond it
    refused(1)
    assert [sentinel.rules(), sentinel.rules(), sentinel.rules()] == [0, 1, 0]
    assert (status(), told()) == ("paused", ["rejects"])
    resume(stage)
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 0, "active"]


def test_h08_a_mismatch_is_acted_on_when_two_looks_found_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedging.domain.reconciliation.STEADY", timedelta(0))
    rule("mismatch", "100")
    sentinel = watch()
    held = stage.paper.server.core.engine.accounts["alpha"].positions["BTCUSDT"]
    stage.paper.do(lambda: setattr(held, "size", held.size + D("0.1")))
    stage.sync()
    assert (sentinel.rules(), status()) == (0, "active")  # certain once
    assert (sentinel.rules(), status()) == (1, "paused")  # and by the look this asked for
    assert told() == ["mismatch"]


def test_h08_a_mismatch_below_the_threshold_is_left_to_reconciliation(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedging.domain.reconciliation.STEADY", timedelta(0))
    rule("mismatch", "1000000")
    sentinel = watch()
    held = stage.paper.server.core.engine.accounts["alpha"].positions["BTCUSDT"]
    stage.paper.do(lambda: setattr(held, "size", held.size + D("0.1")))
    stage.sync(), stage.sync()
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 0, "active"]


@pytest.mark.parametrize("silent", ["prices", "account"])
def test_h08_data_silent_for_half_a_minute_pauses(stage: Stage, silent: str) -> None:
    rule("stale-data", "30")
    now = timezone.now()
    sentinel = RuleWatch(ACTOR, _since=now - timedelta(hours=1))
    age = timedelta(seconds=29)
    for expected in ([0, 0, "active"], [0, 1, "paused"]):
        moment = timezone.now() - age
        if silent == "prices":
            Quote.objects.update(received_at=moment)
        else:
            AccountState.objects.update(positions_at=moment)
        assert [sentinel.look(), sentinel.look(), status()] == expected
        age = timedelta(seconds=31)
    assert told() == ["stale-data"]


def test_h08_silence_from_before_the_watch_began_is_none(stage: Stage) -> None:
    rule("stale-data", "30")
    Quote.objects.update(received_at=timezone.now() - timedelta(hours=8))
    AccountState.objects.update(positions_at=timezone.now() - timedelta(hours=8))
    sentinel = watch()
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 0, "active"]


def test_h08_silence_where_nothing_is_at_stake_is_none(stage: Stage) -> None:
    rule("stale-data", "30")
    factories.account(account_id="idle")
    AccountState.objects.filter(pk="idle").update(positions_at=timezone.now() - timedelta(days=1))
    sentinel = RuleWatch(ACTOR, _since=timezone.now() - timedelta(days=2))
    assert [sentinel.look(), sentinel.look(), status("idle")] == [0, 0, "active"]


def test_h08_a_rule_of_one_account_or_switched_off_leaves_others_alone(stage: Stage) -> None:
    other = factories.account(account_id="beta")
    rule("margin", "0.0001", account=other)
    rule("rejects", "0", is_enabled=False)
    sentinel = watch()
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 0, "active"]


@pytest.mark.parametrize(
    ("scope", "action", "stopped", "kept"),
    [
        ("book", "flatten", {"long", "short"}, D(0)),
        ("account", "stop", {"long"}, D("0.5")),
        ("venue", "flatten", {"long"}, D(0)),
    ],
)
def test_h08_a_rule_stops_what_its_scope_says_until_a_person_releases_it(
    transactional_db: None, scope: str, action: str, stopped: set[str], kept: Decimal
) -> None:
    system_hedge()
    with floor() as ground:
        rule("margin", "0.05", scope=scope, action=action)
        sentinel = watch()
        out = Fault(FaultKind.TRANSFER, account="long", amount=D(-99_000))
        ground.fault("long", out)
        ground.sync()
        assert [sentinel.rules(), sentinel.rules(), sentinel.rules()] == [0, 1, 0]
        stop = EmergencyStop.objects.get()
        assert (stop.scope, stop.trigger, stop.flatten) == (scope, "margin", action == "flatten")
        assert drive(stop)
        assert states(stop) == dict.fromkeys(stopped, ("latched", True))
        assert ground.size("long") == kept
        for account in ground.accounts.values():
            account_sync(account=account, actor=ACTOR)
        stop_release(stop=stop, actor=PERSON, reason="topped up")
        before = status("long")
        assert [before, watch().rules()] == ["active", 0]  # a reading from before counts not


def test_h08_a_pause_by_one_rule_keeps_no_graver_one_from_stopping(stage: Stage) -> None:
    system_hedge()
    rule("margin", "0.05")
    sentinel = watch()
    transfer(stage, "-99000")
    stage.sync()
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 1, "paused"]
    graver = {"trigger": "margin", "threshold": D("0.06"), "action": "stop"}
    StopRule.objects.create(stop_rule_id="graver", **graver)
    stage.sync()
    assert [sentinel.rules(), sentinel.rules(), status()] == [0, 1, "emergency"]
    assert [sentinel.rules(), told()] == [0, ["margin", "margin"]]
