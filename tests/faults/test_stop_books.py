"""H · Emergency stops over two venues: both sides in step, and one venue that does not answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.services import account_sync
from controlplane.sentinel import Sentinel
from hedging.emergency.driving import stop_drive
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop, StoppedAccount
from markets.venues.paper.faults import Fault, FaultKind, Topic
from markets.venues.paper.rules import Reason
from markets.venues.types import OrderType, Side
from monitoring.models import MonitoringEvent
from strategies import services
from strategies.models import OrderIntent, StrategyModule
from tests import factories
from tests.faults.conftest import ACTOR
from tests.faults.stopping import Floor, drive, floor, states, system_hedge

D = Decimal
LATCHED = ("latched", True)


@pytest.fixture
def two(transactional_db: None) -> Iterator[Floor]:
    system_hedge()
    with floor("6") as made:
        yield made


def pull(**fields: Any) -> EmergencyStop:
    return stop_engage(**{"scope": "all", "actor": ACTOR, "reason": "test", **fields})


def again_now(stop: EmergencyStop) -> None:
    """Let the pauses between attempts be over."""
    rows = StoppedAccount.objects.filter(stop=stop, state__in=["cancelling", "flattening"])
    rows.update(next_try_at=stop.created_at)


def test_h06_both_sides_are_closed_in_step_and_in_slices(two: Floor) -> None:
    stop = pull(scope="book", target="live:long")
    assert drive(stop, 20)
    assert states(stop) == {"long": LATCHED, "short": LATCHED}
    assert (two.size("long"), two.size("short")) == (0, 0)
    path = two.net_path("long", "short")
    assert path[0] == path[-1] == 0
    assert max(map(abs, path)) <= D(2)  # a slice is a third
    sent = OrderIntent.objects.filter(module="system-hedge")
    assert sent.count() >= 6
    assert {it.reduce_only for it in sent} == {True}


def test_h02_with_one_venue_down_the_others_complete_and_it_is_told(two: Floor) -> None:
    two.fault("short", Fault(kind=FaultKind.ANSWER, accepts=False, times=10_000, status=503))
    stop = pull()
    StoppedAccount.objects.filter(stop=stop).update(deadline_at=stop.created_at)
    assert not drive(stop, 9)
    assert states(stop) == {"long": LATCHED, "short": ("cancelling", False)}
    assert stop.state == "cancelling"  # never called done
    assert (two.size("long"), two.size("short")) == (0, -6)
    row = stop.accounts.get(account="short")
    assert "503" in row.last_error
    assert row.attempts >= 2
    told = MonitoringEvent.objects.get(payload__code="not-confirmed", account_id="short")
    assert told.severity == "CRITICAL"

    two.mend("short")
    again_now(stop)
    Sentinel().round()  # whoever comes next goes on
    assert drive(stop)
    assert states(stop) == {"long": LATCHED, "short": LATCHED}
    assert two.size("short") == 0


def test_h06_a_leg_that_cannot_be_closed_keeps_the_other_and_asks(two: Floor) -> None:
    """Reduce-only orders of one side are rejected: the book stays neutral and says why."""
    fault = Fault(kind=FaultKind.REFUSE, topic=Topic.PLACE, reason=Reason.REDUCE_ONLY, times=10_000)
    two.fault("short", fault)
    stop = pull()
    assert not drive(stop, 4)
    assert abs(two.size("long") + two.size("short")) <= D(2)
    assert two.size("long") >= D(2)
    row = stop.accounts.get(account="short")
    assert (row.state, row.confirmed_at) == ("flattening", None)
    assert row.last_error
    two.mend("short")
    again_now(stop)
    assert drive(stop, 20)
    assert (two.size("long"), two.size("short")) == (0, 0)


def test_h10_a_stop_of_one_venue_leaves_the_other_alone(two: Floor) -> None:
    stop = pull(scope="venue", target=two.venues["short"].row.pk)
    assert drive(stop, 20)
    assert (two.size("long"), two.size("short")) == (6, 0)
    two.accounts["long"].refresh_from_db()
    assert two.accounts["long"].status == "active"


def test_h10_a_stop_of_a_module_closes_what_it_traded_and_no_more(two: Floor) -> None:
    """By attribution: of 6 BTC the module bought 1, and an order of another module rests."""
    account = two.accounts["long"]
    instrument = account.positions.get().instrument
    other = factories.module(module_id="other", dry_run_enabled=False)
    common = {"account": account, "instrument": instrument, "symbol": "BTC"}
    bought = factories.intent(module=other, amount=D(1), **common)
    OrderIntent.objects.filter(pk=bought.pk).update(
        state="submitted",
        submission="sending",
        claim_fence=1,
        claimed_by="w",
        signed_at=bought.created_at,
        expires_at=bought.created_at,
    )
    OrderIntent.objects.filter(pk=bought.pk).update(
        state="filled", submission="acknowledged", filled_amount=D(1)
    )
    stop = pull(scope="module", target="other")
    assert drive(stop, 20)
    assert states(stop) == {"long": LATCHED}
    assert (two.size("long"), two.size("short")) == (5, -6)
    assert StrategyModule.objects.get(pk="other").status == "disable"
    account.refresh_from_db()
    assert account.status == "active"
    assert set(OrderIntent.objects.exclude(pk=bought.pk).values_list("module", flat=True)) == {
        "other"
    }


def test_a_drill_is_of_paper_venues_only_and_files_its_timed_report(two: Floor) -> None:
    row = two.venues["short"].row
    row.environment = "live"
    row.save()
    stop = pull(drill=True)
    assert drive(stop, 20)
    assert states(stop) == {"long": LATCHED}
    assert stop.trigger == "drill"
    assert (two.size("long"), two.size("short")) == (0, -6)
    (event,) = MonitoringEvent.objects.filter(type="test-result")
    assert event.payload["passed"] is True
    (line,) = event.payload["accounts"]
    assert line["accountId"] == "long"
    assert 0 <= line["cancelledSeconds"] <= line["flatSeconds"] <= line["confirmedSeconds"]


def test_an_order_that_a_dead_driver_left_is_withdrawn_and_not_sent(two: Floor) -> None:
    stop = pull()
    account = two.accounts["long"]
    left = services.intent_create(
        module=StrategyModule.objects.get(pk="system-hedge"),
        account=account,
        instrument=account.positions.get().instrument,
        side=Side.SELL,
        type=OrderType.IOC,
        amount=D(6),
        price=D(60000),
        reduce_only=True,
        sandbox=False,
        reason=f"emergency stop {stop.pk}",
        actor=ACTOR,
    )
    assert drive(stop, 20)
    left.refresh_from_db()
    assert (left.state, left.claim_fence) == ("cancelled", 0)
    assert (two.size("long"), two.size("short")) == (0, 0)


def test_two_drivers_at_once_send_nothing_twice(two: Floor) -> None:
    stop = pull()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: drive_alone(stop), range(2)))
    assert drive(stop, 20)
    assert (two.size("long"), two.size("short")) == (0, 0)
    for name in ("long", "short"):
        filled = [
            it.filled_amount for it in OrderIntent.objects.filter(account=name, state="filled")
        ]
        assert sum(filled) == 6
    account_sync(account=two.accounts["long"], actor=ACTOR)


def drive_alone(stop: EmergencyStop) -> bool:
    try:
        return stop_drive(stop_id=stop.pk, actor=ACTOR, seconds=5)
    finally:
        connection.close()
