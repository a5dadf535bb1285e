"""B14 · A venue changes a contract mid-run: nothing is opened there until a person accepts it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from controlplane.base.audit import Actor, Surface
from markets import listing
from markets.jobs import instruments_sync
from markets.models import Instrument
from markets.venues.paper.faults import Fault, FaultKind
from monitoring.models import MonitoringEvent
from tests.faults.conftest import Stage, place

D = Decimal
JOB = Actor(name="sync_instruments", surface=Surface.JOB)
PERSON = Actor(name="ada", surface=Surface.ADMIN)


@pytest.fixture
def synced(stage: Stage) -> Iterator[Stage]:
    """The stage, its contracts as the venue lists them."""
    sync(stage)
    Instrument.objects.update(frozen_at=None, frozen_for={})  # the rows were made by hand
    assert sync(stage) == 0
    yield stage
    stage.mend()


def sync(stage: Stage) -> int:
    frozen = instruments_sync(stage.account.exchange, actor=JOB).frozen
    stage.instrument.refresh_from_db()
    return frozen


def change(stage: Stage, kind: FaultKind, **fields: Any) -> None:
    fault = Fault(kind, symbol="BTC", **fields)
    stage.paper.do(lambda: stage.paper.server.faults.add(fault))


def test_b14_where_the_tick_changed_nothing_is_opened_until_a_person_accepts_it(
    synced: Stage,
) -> None:
    resting = synced.rest()
    assert synced.submit(resting) == ("submitted", "acknowledged")
    change(synced, FaultKind.INSTRUMENT, tick=D("0.5"))
    assert sync(synced) == 1
    event = MonitoringEvent.objects.get(payload__code="orders_on_frozen_instrument")
    [listed] = event.payload["openOrders"]
    assert (event.severity, listed["clientOrderId"]) == ("CRITICAL", resting.client_order_id)

    opening = synced.wish()
    synced.submit(opening)
    assert place(opening) == ("failed", "none")
    assert opening.reason.startswith("INSTRUMENT_FROZEN")
    assert synced.requests("POST", "order") == 1
    reducing = synced.wish(side="sell", reduce_only=True)
    assert synced.submit(reducing) == ("filled", "acknowledged")

    listing.instrument_accept(instrument=synced.instrument, actor=PERSON, reason="announced")
    synced.instrument.refresh_from_db()
    assert synced.instrument.tick == D("0.5")
    assert synced.submit(synced.wish()) == ("filled", "acknowledged")
    synced.sync()
    synced.verify()


def test_b14_a_renamed_contract_is_frozen_and_stays_so_when_it_is_back(synced: Stage) -> None:
    change(synced, FaultKind.UNLISTED)
    assert sync(synced) == 1
    synced.mend()
    assert sync(synced) == 0
    opening = synced.wish()
    synced.submit(opening)
    assert place(opening) == ("failed", "none")
    assert synced.requests("POST", "order") == 0
