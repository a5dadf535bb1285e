"""A stop that is confirmed stays so: what comes back to its accounts is seen and closed again."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AccountState, Position
from accounts.services import account_sync
from controlplane.background import Background
from controlplane.emergencies import Emergencies
from hedging.emergency.latched import latched_due, latched_reopen
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop
from monitoring.models import MonitoringEvent
from tests.faults.conftest import ACTOR
from tests.faults.stopping import Floor, drive, floor, states, system_hedge

D = Decimal
LATCHED = ("latched", True)


@pytest.fixture
def two(transactional_db: None) -> Iterator[Floor]:
    system_hedge()
    with floor() as made:
        yield made


def latch(ground: Floor, **fields: Any) -> EmergencyStop:
    """Stop the account `long`, see it confirmed, and read it once more."""
    stop = stop_engage(
        **{"scope": "account", "target": "long", "actor": ACTOR, "reason": "test", **fields}
    )
    assert drive(stop)
    account_sync(account=ground.accounts["long"], actor=ACTOR)
    return stop


def back(ground: Floor, amount: str) -> None:
    """Somebody trades at the venue; the next look tells."""
    ground.venues["long"].move("long", "BTCUSDT", amount)
    account_sync(account=ground.accounts["long"], actor=ACTOR)


def told() -> int:
    return MonitoringEvent.objects.filter(payload__code="came-back").count()


def test_a_position_that_comes_back_is_told_of_and_closed_again(two: Floor) -> None:
    stop = latch(two)
    sentinel = Emergencies(ACTOR, Background())
    assert (sentinel.watch(), told()) == (0, 0)
    back(two, "0.2")
    assert two.size("long") == D("0.2")
    assert sentinel.watch() > 0
    stop.refresh_from_db()
    assert (two.size("long"), states(stop), stop.state) == (0, {"long": LATCHED}, "latched")
    event = MonitoringEvent.objects.get(payload__code="came-back")
    assert (event.severity, event.account_id, event.payload["what"]) == (
        "CRITICAL", "long", "0.2 BTC",
    )  # fmt: skip
    account_sync(account=two.accounts["long"], actor=ACTOR)
    assert (latched_reopen(), told()) == (0, 1)


def test_orders_that_come_back_are_cancelled_where_positions_are_kept(two: Floor) -> None:
    stop = latch(two, flatten=False)
    back(two, "0.2")
    assert latched_reopen() == 0
    AccountState.objects.filter(pk="long").update(open_orders=1)  # as a complete look tells
    assert (latched_reopen(), states(stop)["long"]) == (1, ("cancelling", False))
    assert drive(stop)
    assert (two.size("long"), states(stop)) == (D("0.7"), {"long": LATCHED})


def test_what_is_too_small_to_close_or_was_read_before_reopens_nothing(two: Floor) -> None:
    stop = latch(two)
    now = timezone.now()
    row = Position.objects.filter(account="long")
    row.update(size=D("0.00001"), observed_at=now)
    assert latched_reopen() == 0
    confirmed = stop.accounts.get().confirmed_at
    assert confirmed is not None
    row.update(size=D("0.2"), observed_at=confirmed - timedelta(seconds=1))
    assert latched_reopen() == 0
    row.update(size=D("0.2"), observed_at=now)
    AccountState.objects.filter(pk="long").update(positions_at=confirmed)
    assert (latched_reopen(), states(stop)) == (0, {"long": LATCHED})


def test_confirmed_accounts_are_read_on_whatever_their_own_interval(two: Floor) -> None:
    latch(two)
    two.accounts["long"].sync_interval_seconds = 86_400
    two.accounts["long"].save()
    assert latched_due(timezone.now()) == []
    assert latched_due(timezone.now() + timedelta(seconds=11)) == [two.accounts["long"]]


def test_looking_at_many_suspects_asks_no_more_than_at_one(two: Floor) -> None:
    latch(two, scope="all", target="")
    account_sync(account=two.accounts["short"], actor=ACTOR)
    asked = []
    for names in (["long"], ["long", "short"]):  # too small to close: nothing is reopened
        Position.objects.filter(account__in=names).update(
            size=D("0.00001"), observed_at=timezone.now()
        )
        with CaptureQueriesContext(connection) as queries:
            assert latched_reopen() == 0
        asked.append(len(queries))
    assert asked[0] == asked[1] > 1
