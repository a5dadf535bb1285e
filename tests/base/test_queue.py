"""The queue's broker: a task wakes whoever waits for it, and is taken once."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from django.db import connection, transaction
from django_q.conf import Conf

from controlplane.base.queue import CHANNEL, WakingBroker

pytestmark = pytest.mark.django_db(transaction=True)

Taken = Sequence[tuple[int, str]]


class Waiting(threading.Thread):
    """Somebody who asks once for a task of the cluster `hedge`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.taken: Taken = ()
        self.listens = threading.Event()

    def run(self) -> None:
        broker = WakingBroker("hedge")
        broker._listen()
        self.listens.set()
        try:
            self.taken = broker.dequeue()
        finally:
            connection.close()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever waits looks again by himself after a minute only."""
    monkeypatch.setattr(Conf, "POLL", 60.0)
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"UNLISTEN {CHANNEL}")


@pytest.mark.usefixtures("patience")
def test_a_committed_task_wakes_who_waits_for_it() -> None:
    waiting, began = Waiting(), time.monotonic()
    waiting.start()
    assert waiting.listens.wait(30)
    with transaction.atomic():
        WakingBroker("hedge").enqueue("never")
        transaction.set_rollback(True)
    WakingBroker("sync").enqueue("of another cluster")
    WakingBroker("hedge").enqueue("a task")
    waiting.join(30)
    assert [task for _, task in waiting.taken] == ["a task"]
    assert time.monotonic() - began < 45, "it waited for the next look"


@pytest.mark.usefixtures("patience")
def test_a_task_queued_before_anybody_listened_is_found_at_once() -> None:
    WakingBroker("hedge").enqueue("a task")
    assert [task for _, task in WakingBroker("hedge").dequeue()] == ["a task"]


def test_a_task_is_taken_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 0.01)
    WakingBroker("hedge").enqueue("a task")
    brokers = [WakingBroker("hedge"), WakingBroker("hedge")]
    assert [len(broker.dequeue()) for broker in brokers] == [1, 0]
