"""G03 · What is asked of the product while each flush takes five seconds, and afterwards."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

from django.db import connection
from django.utils import timezone

from hedging.emergency.driving import stop_drive
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop
from monitoring.models import ClusterPulse
from strategies import execution
from strategies.failover import intent_cancel
from strategies.models import OrderIntent
from tests.faults.rig.arena import ACTOR, NAMES, Arena, arena
from tests.faults.rig.database import own_database
from tests.faults.rig.flows import rest, wish
from tests.faults.rig.slow_disk import FLUSH_SECONDS, Slow, flushes_slowed

CLAIMS: Final = 3
CANCEL_SECONDS: Final = 3.0
"""A cancel waits for no flush, nor do those of a stop once it is engaged: this is for a busy
machine, and less than one flush takes."""
STOP_SECONDS: Final = 30.0
"""As of `emergencyStopLossSeconds`."""
DONE_SECONDS: Final = 60.0


def play(log: Path, made: Slow) -> None:
    """Play everything; raises AssertionError with what is not as it must be."""
    with own_database() as fresh:
        fresh()
        with arena() as stage:
            first, second = (rest(stage, Decimal(size)) for size in ("0.011", "0.012"))
            stage.sync()
            with flushes_slowed(log, _write_down):
                _nothing_new_is_sent(stage, made)
                _a_cancel_waits_for_no_flush(stage, first, made)
                stop = _a_stop_cancels(stage, made)
            _the_stop_is_brought_to_its_end(stage, stop, made)
            second.refresh_from_db()
            assert second.state == "cancelled", second
            stage.verify("a slow disk")
            made.orders = sum(
                entry["kind"] == "order" for told in stage.ledgers() for entry in told.entries
            )
    made.flushes = log.read_text().count("DELAYED")


def _write_down() -> None:
    now = timezone.now()
    asked = {"asked_at": now, "heard_at": now}
    ClusterPulse.objects.update_or_create(cluster="rig", defaults=asked)


def _nothing_new_is_sent(stage: Arena, made: Slow) -> None:
    """No order leaves before its claim is on the disk, and by then it is too old to leave.

    As soon as no look at the accounts has been written down for a minute, none is claimed either.
    """
    before = _placed(stage)
    for number in range(CLAIMS):
        intent = wish(stage, "long", "buy", Decimal("0.02") + number * Decimal("0.001"))
        stage.quote()
        began = time.monotonic()
        execution.intent_submit(intent_id=intent.pk, actor=ACTOR)
        taken = time.monotonic() - began
        intent.refresh_from_db()
        assert intent.state == "failed", f"{intent}: {intent.state} {intent.reason}"
        if intent.claim_fence:
            made.claims.append(taken)
            assert intent.reason.startswith("CLAIM_TOO_OLD"), intent.reason
        else:
            assert intent.reason == "ACCOUNT_NOT_RECONCILED", intent.reason
    assert made.claims, "none was claimed"
    assert min(made.claims) >= FLUSH_SECONDS, made.claims
    assert _placed(stage) == before, "I6: an order left"


def _placed(stage: Arena) -> int:
    """How often the venues were asked to take an order."""
    return sum(
        (entry["kind"], entry.get("method"), entry.get("path"))
        == ("request", "POST", "/fapi/v1/order")
        for told in stage.ledgers()
        for entry in told.entries
    )


def _a_cancel_waits_for_no_flush(stage: Arena, resting: OrderIntent, made: Slow) -> None:
    before = stage.resting("long")
    made.cancelled = _until(
        lambda: stage.resting("long") < before,
        lambda: intent_cancel(intent_id=resting.pk, actor=ACTOR),
        within=CANCEL_SECONDS,
        told="I13: a cancel waits for the disk",
    )


def _a_stop_cancels(stage: Arena, made: Slow) -> EmergencyStop:
    began = time.monotonic()
    stop: EmergencyStop = stop_engage(scope="all", actor=ACTOR, reason="The rig pulls the cord.")
    engaged = time.monotonic() - began
    assert engaged < STOP_SECONDS, f"I6: it took {engaged:.1f} s to engage a stop"
    made.stop_cancelled = engaged + _until(
        lambda: not stage.resting("long"),
        lambda: stop_drive(stop_id=stop.pk, actor=ACTOR, seconds=STOP_SECONDS),
        within=CANCEL_SECONDS,
        told="I6: the cancels of an engaged stop wait for the disk",
    )
    return stop


def _the_stop_is_brought_to_its_end(stage: Arena, stop: EmergencyStop, made: Slow) -> None:
    """The disk is quick again: what could not be closed is."""
    began = time.monotonic()
    while stop.state != "latched" or stop.accounts.unfinished().exists():
        assert time.monotonic() - began < DONE_SECONDS, f"the stop is {stop.state}"
        stage.settle(neutral=False)
        stop.refresh_from_db()
    made.stopped = time.monotonic() - began
    assert [stage.size(name) for name in NAMES] == [0, 0]


def _until(
    what: Callable[[], bool], act: Callable[[], object], *, within: float, told: str
) -> float:
    """Act beside this until it is so, and then to the end; return after how long it was so."""

    def work() -> None:
        try:
            act()
        finally:
            connection.close()  # the thread's own

    began = time.monotonic()
    thread = threading.Thread(target=work)
    thread.start()
    while not what():
        assert time.monotonic() - began < within, told
        time.sleep(0.01)
    seconds = time.monotonic() - began
    thread.join()
    return seconds
