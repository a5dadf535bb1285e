"""G01 · PostgreSQL goes away while orders are sent: none leaves without its claim, none is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from unittest import mock

import pytest
from django.db import Error, connections
from django.utils import timezone

from controlplane.faults.chaosproxy import ChaosProxy, chaos_proxy
from controlplane.faults.toxics import Toxic, ToxicKind, Way
from markets.venues.paper.faults import Fault, FaultKind, Topic
from strategies import execution
from strategies.claims import claims_recover
from strategies.models import OrderIntent
from tests.faults.conftest import ACTOR, Stage, place
from tests.faults.rig.arena import prove_absent

SECONDS = 30.0
LATER = timedelta(seconds=60)
"""By then the send of a worker that lives, and never told its end, is over."""


@pytest.fixture
def line(stage: Stage) -> Iterator[ChaosProxy]:
    """A network to PostgreSQL; `over` has a worker's connection go through it."""
    params = connections["default"].get_connection_params()
    path = f"{params['host']}/.s.PGSQL.{params.get('port', 5432)}"
    with chaos_proxy(path) as made:
        yield made


def over(line: ChaosProxy, intent: OrderIntent) -> threading.Thread:
    """Begin to submit an intent on a thread whose connection goes over the line."""
    owner = type(connections["default"])
    direct = owner.get_connection_params

    def params(self: object) -> dict[str, object]:
        found: dict[str, object] = direct(self)  # type: ignore[arg-type]
        if threading.current_thread() is not threading.main_thread():
            found |= {"host": "127.0.0.1", "port": line.port}
        return found

    def work() -> None:
        with mock.patch.object(owner, "get_connection_params", params), suppress(Error):
            execution.intent_submit(intent_id=intent.pk, actor=ACTOR)
        with suppress(Error):
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def recovered(intent: OrderIntent) -> tuple[str, str]:
    """Return where an intent comes to stand once PostgreSQL is back."""
    claims_recover(now=timezone.now() + LATER, actor=ACTOR)
    prove_absent()
    return place(intent)


def test_g01_an_answer_that_could_not_be_written_is_asked_for_again(
    stage: Stage, line: ChaosProxy
) -> None:
    slow = Fault(FaultKind.LATENCY, topic=Topic.PLACE, delay_ms=3_000)
    stage.paper.do(lambda: stage.paper.server.faults.add(slow))
    stage.quote()
    thread = over(line, intent := stage.wish())
    _wait(lambda: bool(stage.ledger("fill")))  # the venue has it, and has not answered yet
    assert place(intent) == ("submitted", "sending")
    line.add(Toxic(ToxicKind.DOWN))
    thread.join(SECONDS)
    assert place(intent) == ("submitted", "sending")
    line.clear()
    stage.mend()
    assert recovered(intent) == ("filled", "acknowledged")
    assert stage.requests("POST", "order") == 1
    stage.sync()
    stage.verify()


@pytest.mark.timeout(300)
def test_g01_a_line_cut_at_any_byte_sends_nothing_without_its_claim(
    stage: Stage, line: ChaosProxy
) -> None:
    """Each round's connection to PostgreSQL ends some hundred bytes later than the last one's."""
    ends = set()
    for number in range(14):
        stage.quote()
        line.clear()
        line.add(Toxic(ToxicKind.LIMIT_DATA, way=Way.UP, size=400 + 2_600 * number))
        before = stage.requests("POST", "order")
        intent = stage.wish(amount=Decimal(f"0.0{10 + number}"))
        over(line, intent).join(SECONDS)
        sent = stage.requests("POST", "order") - before
        intent.refresh_from_db()
        assert sent <= intent.claim_fence  # no send without a committed claim
        line.clear()
        end = recovered(intent)
        assert sent == (end == ("filled", "acknowledged"))
        assert end in {("pending", "none"), ("failed", "none"), ("filled", "acknowledged")}
        ends.add(end)
        stage.sync()
    stage.verify()
    assert {("pending", "none"), ("filled", "acknowledged")} <= ends


def _wait(what: Callable[[], bool]) -> None:
    until = threading.Event()
    for _ in range(600):
        if what():
            return
        until.wait(0.05)
    raise AssertionError("It did not come about in time.")
