"""H · Emergency stop: what it says is stopped is stopped, at the venue and not only with us."""

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.lifecycle import account_resume
from accounts.models import ExchangeAccount
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Conflict, Denied
from controlplane.sentinel import Sentinel
from hedging.emergency import driving
from hedging.emergency.flattening import wave_send
from hedging.emergency.verbs import stop_engage, stop_release
from hedging.jobs import DriveStop
from hedging.models import EmergencyStop
from markets.venues.ratelimit.limiter import Gate, Permit
from markets.venues.ratelimit.terms import Cost, Kind
from monitoring.models import MonitoringEvent
from strategies import claims, execution, settling
from strategies.domain.intent import IntentEvent
from strategies.execution import Answered
from strategies.models import OrderIntent
from tests import factories
from tests.accounts.paper import Paper
from tests.faults.conftest import ACTOR, D, Stage, place
from tests.faults.stopping import drive, states, system_hedge


@pytest.fixture(autouse=True)
def _system_hedge(transactional_db: None) -> None:
    system_hedge()


def pull(**fields: Any) -> EmergencyStop:
    return stop_engage(**{"scope": "all", "actor": ACTOR, "reason": "test", **fields})


def sizes(paper: Paper, label: str) -> dict[str, Decimal]:
    """What the venue itself holds for an account, flat contracts left out."""
    held = paper.do(lambda: dict(paper.server.core.engine.accounts[label].positions))
    return {symbol: position.size for symbol, position in held.items() if position.size}


def status(account: ExchangeAccount) -> str:
    account.refresh_from_db()
    return str(account.status)


def test_stop_cancels_closes_verifies_and_latches(stage: Stage) -> None:
    resting = stage.rest()
    assert stage.submit(resting) == ("submitted", "acknowledged"), resting.reason
    stop = pull()
    assert status(stage.account) == "emergency"
    assert drive(stop)
    row = stop.accounts.get()
    assert (stop.state, row.state, row.last_error) == ("latched", "latched", "")
    steps = [stop.created_at, row.cancelled_at, row.flat_at, row.confirmed_at]
    assert steps == sorted(step for step in steps if step)
    assert sizes(stage.paper, "alpha") == {}
    assert not stage.paper.server.core.engine.accounts["alpha"].open_orders
    closing = OrderIntent.objects.filter(module="system-hedge")
    assert {(it.type, it.reduce_only, it.state) for it in closing} == {("ioc", True, "filled")}
    assert execution.unknown_resolve(intent=resting, actor=ACTOR).state == "cancelled"
    stage.sync()
    stage.verify()


def test_what_orders_filled_whole_is_still_read_again_before_it_is_confirmed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody trades between the fill that closed the account and the look that confirms it."""
    waves: list[int] = []

    def send_and_trade(
        written: Sequence[OrderIntent], actor: Actor, *, answered: Answered
    ) -> Sequence[OrderIntent]:
        def trade_first(intents: Sequence[OrderIntent]) -> None:
            if not waves:
                stage.paper.move("alpha", "BTCUSDT", "0.2")
            waves.append(len(intents))
            answered(intents)

        return wave_send(written, actor, answered=trade_first)

    monkeypatch.setattr(driving, "wave_send", send_and_trade)
    stop = pull()
    assert drive(stop)
    assert stop.accounts.get().state == "latched"
    assert sizes(stage.paper, "alpha") == {}
    closed = OrderIntent.objects.filter(module="system-hedge").order_by("pk")
    assert [it.filled_amount for it in closed] == [D("0.5"), D("0.2")]


def test_what_is_closed_is_looked_at_while_that_is_recorded_and_not_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, record = len(stage.ledger("request")), settling.sends_settle
    seen = ["openOrders", "positionRisk"]

    def paths() -> list[str]:
        named = [entry["path"].rpartition("/")[2] for entry in stage.ledger("request")[asked:]]
        return [name for name in named if name != "time"]

    def record_when_looked_at(*sent: Any, **terms: Any) -> dict[UUID, OrderIntent]:
        until = time.monotonic() + 20
        while paths() != [*seen, "order", *seen]:
            assert time.monotonic() < until, paths()
            time.sleep(0.01)
        return record(*sent, **terms)

    monkeypatch.setattr(settling, "sends_settle", record_when_looked_at)
    assert drive(pull())
    assert paths() == [*seen, "order", *seen]


def test_orders_are_kept_from_positions_where_the_stop_was_asked_to(stage: Stage) -> None:
    stage.submit(stage.rest())
    stop = pull(flatten=False)
    assert drive(stop)
    row = stop.accounts.get()
    assert (row.state, row.flat_at) == ("latched", None)
    assert sizes(stage.paper, "alpha") == {"BTCUSDT": D("0.5")}
    assert not stage.paper.server.core.engine.accounts["alpha"].open_orders


def test_i6_nothing_that_adds_is_claimed_after_the_stop_and_what_reduces_is(stage: Stage) -> None:
    pull(flatten=False)
    adds = stage.wish()
    assert stage.submit(adds) == ("failed", "none")
    assert adds.reason == "ACCOUNT_NOT_ACTIVE"
    reduces = stage.wish(side="sell", reduce_only=True)
    assert stage.submit(reduces) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1


def test_i6_an_order_claimed_before_the_stop_is_not_sent_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is committed, then the stop, and only then would the first byte go out."""
    claim = claims.intents_claim

    def claim_then_stop(intents: Sequence[OrderIntent], **terms: Any) -> list[OrderIntent]:
        won = claim(intents, **terms)
        pull(flatten=False)
        return won

    monkeypatch.setattr(claims, "intents_claim", claim_then_stop)
    intent = stage.wish()
    assert stage.submit(intent) == ("failed", "none")
    assert (intent.reason, intent.claim_fence) == ("ACCOUNT_NOT_ACTIVE: status=emergency", 1)
    assert stage.requests("POST", "order") == 0


def test_i6_an_order_that_waited_for_room_is_asked_about_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes while our own limiter keeps the order back, after the check in the send."""
    admitted = Gate._admitted

    async def wait(gate: Gate, cost: Cost) -> Permit:
        if cost.kind is Kind.ORDER:
            await asyncio.to_thread(pull_alone)
        return await admitted(gate, cost)

    def pull_alone() -> None:
        time.sleep(2 * execution.LOOK_AGAIN)
        pull(flatten=False)
        connection.close()

    monkeypatch.setattr(Gate, "_admitted", wait)
    intent = stage.wish()
    assert stage.submit(intent) == ("failed", "none")
    assert intent.reason == "withheld: ACCOUNT_NOT_ACTIVE: status=emergency"
    assert stage.requests("POST", "order") == 0


def test_the_job_drives_a_stop_and_twice_does_no_more(stage: Stage) -> None:
    stop = pull(flatten=False)
    DriveStop().run(stop_id=str(stop.pk))
    DriveStop().run(stop_id=str(stop.pk))
    assert states(stop) == {"alpha": ("latched", True)}
    latched = MonitoringEvent.objects.filter(type="emergency", payload__code="latched")
    assert latched.count() == 1


def test_h01_an_order_under_way_keeps_its_account_from_being_confirmed(stage: Stage) -> None:
    """Claimed before the stop, and nobody knows whether it has arrived: the list proves nothing."""
    intent = stage.wish()
    now = timezone.now()
    OrderIntent.objects.filter(pk=intent.pk).update(
        state="submitted",
        submission="sending",
        claim_fence=1,
        claimed_by="elsewhere:1:1",
        signed_at=now,
        expires_at=now + timedelta(seconds=60),
    )
    stop = pull(flatten=False)
    assert not drive(stop, 1)
    row = stop.accounts.get()
    assert (row.state, row.last_error) == ("cancelling", "1 orders are under way.")
    settling.settle(intent, IntentEvent.PROVE_UNSENT, "it was not", actor=ACTOR)
    assert drive(stop)


def test_h03_a_stop_holds_through_restarts_late_jobs_and_resumes(stage: Stage) -> None:
    late = stage.wish()
    stop = pull(flatten=False)
    assert drive(stop)
    with pytest.raises(Conflict):
        account_resume(account=stage.account, actor=ACTOR, reason="again")
    execution.intent_submit(intent_id=late.pk, actor=ACTOR)
    assert place(late) == ("failed", "none")
    Sentinel().round()  # a new process
    assert status(stage.account) == "emergency"
    assert stage.requests("POST", "order") == 0
    assert pull(flatten=False).pk == stop.pk  # pulled twice, one stop


def test_release_needs_a_reason_a_confirmation_and_a_reconciliation_since(stage: Stage) -> None:
    stop = pull(flatten=False)
    with pytest.raises(Conflict, match="NOT confirmed: alpha"):
        stop_release(stop=stop, actor=ACTOR, reason="over")
    assert drive(stop)
    with pytest.raises(Denied, match="REASON_REQUIRED"):
        stop_release(stop=stop, actor=ACTOR, reason=" ")
    with pytest.raises(Conflict, match="Not reconciled since"):
        stop_release(stop=stop, actor=ACTOR, reason="over")
    assert status(stage.account) == "emergency"
    assert stage.sync() == "success"
    released = stop_release(stop=stop, actor=ACTOR, reason="over")
    assert (released.state, released.release_reason) == ("released", "over")
    assert status(stage.account) == "active"
    with pytest.raises(Conflict, match="released already"):
        stop_release(stop=stop, actor=ACTOR, reason="over")
    assert stage.submit(stage.wish()) == ("filled", "acknowledged")


def test_an_account_of_two_stops_stays_stopped_until_both_are_released(stage: Stage) -> None:
    ExchangeAccount.objects.filter(pk="alpha").update(status="paused")
    everything, venue = (
        pull(flatten=False),
        pull(scope="venue", target=stage.paper.row.pk, flatten=False),
    )
    assert drive(everything)
    assert drive(venue)
    stage.sync()
    stop_release(stop=everything, actor=ACTOR, reason="over")
    assert status(stage.account) == "emergency"
    stop_release(stop=venue, actor=ACTOR, reason="over")
    assert status(stage.account) == "paused"  # as it was before the first


def test_a_new_account_in_scope_is_stopped_too(stage: Stage) -> None:
    stop = pull(flatten=False)
    other = factories.account(exchange=stage.paper.row)
    Sentinel().round()
    assert status(other) == "emergency"
    assert set(states(stop)) == {"alpha", other.pk}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"scope": "world"}, "UNKNOWN_SCOPE"),
        ({"scope": "account"}, "UNKNOWN_TARGET"),
        ({"scope": "account", "target": "nobody"}, "UNKNOWN_TARGET"),
        ({"scope": "book", "target": "live:nobody"}, "UNKNOWN_TARGET"),
        ({"scope": "venue", "target": "nowhere"}, "UNKNOWN_TARGET"),
        ({"scope": "module", "target": "nothing"}, "UNKNOWN_TARGET"),
        ({"scope": "all", "target": "alpha"}, "TARGET_NOT_EXPECTED"),
        ({"reason": "  "}, "REASON_REQUIRED"),
    ],
)
def test_a_wrong_stop_is_refused_and_nothing_changes(
    stage: Stage, fields: dict[str, str], code: str
) -> None:
    with pytest.raises(Denied, match=code):
        pull(**fields)
    with pytest.raises(CommandError) as refused:
        command("emergency_stop", **{"scope": "all", "reason": "x", **fields})
    assert refused.value.returncode == 2
    assert not EmergencyStop.objects.exists()
    assert status(stage.account) == "active"


def command(name: str, *args: str, **options: str) -> dict[str, Any]:
    out = StringIO()
    given = [f"--{key}={value}" for key, value in options.items()]
    call_command(name, *args, *given, "--json", stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def test_the_commands_stop_and_release_with_no_other_process(stage: Stage) -> None:
    told = command("emergency_stop", scope="account", target="alpha", reason="fire")
    (line,) = told["accounts"]
    assert (told["state"], told["confirmed"], told["notConfirmed"]) == ("latched", True, [])
    assert 0 <= line["blockedSeconds"] <= line["cancelledSeconds"] <= line["flatSeconds"]
    assert line["flatSeconds"] <= line["confirmedSeconds"] <= line["deadlineSeconds"]
    assert sizes(stage.paper, "alpha") == {}
    with pytest.raises(CommandError) as refused:
        command("rearm")
    assert refused.value.returncode == 2
    assert command("rearm", reason="out")["state"] == "released"
    with pytest.raises(CommandError, match="Name one stop") as refused:
        command("rearm", reason="out")
    assert refused.value.returncode == 2
