"""E06 · Double dispatch: two workers get the same job, thousands of times, and make one order."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from decimal import Decimal

from django.db import connections

from strategies import execution
from strategies.models import AccountAllocation, OrderIntent
from tests.faults.rig.arena import ACTOR, NAMES, Arena, arena
from tests.faults.rig.flows import LOT, wish

ROUNDS_PER_ARENA = 400
SYNC_EVERY = 80
"""Positions read longer ago than a minute are unknown, and nothing is sent."""
WORKERS = 2
ANSWER_SECONDS = 60.0


@dataclass
class Dispatches:
    """What came of the rounds: each had two workers and must have made one order."""

    rounds: int = 0
    orders: int = 0


class Workers:
    """Two threads, each with a connection of its own, that get the same job at once."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, "rig-worker")
        self._barrier = threading.Barrier(WORKERS)

    def submit(self, intent: OrderIntent) -> None:
        """Have both submit the intent at the same moment, and wait for them."""
        jobs = [self._pool.submit(self._work, intent) for _ in range(WORKERS)]
        wait(jobs, ANSWER_SECONDS)
        for job in jobs:
            job.result(0)

    def _work(self, intent: OrderIntent) -> None:
        self._barrier.wait(ANSWER_SECONDS)
        execution.intent_submit(intent_id=intent.pk, actor=ACTOR)

    def close(self) -> None:
        """End the threads and their connections."""
        jobs = [self._pool.submit(self._disconnect) for _ in range(WORKERS)]
        wait(jobs, ANSWER_SECONDS)
        self._pool.shutdown()

    def _disconnect(self) -> None:
        self._barrier.wait(ANSWER_SECONDS)
        connections.close_all()


def dispatches(
    rounds: int, *, fresh: Callable[[], None], say: Callable[[str], None] = lambda _text: None
) -> Dispatches:
    """Give `rounds` orders to two workers each; raises Broken, or an AssertionError, if doubled."""
    made = Dispatches()
    while made.rounds < rounds:
        fresh()
        with arena() as stage:
            AccountAllocation.objects.all().delete()  # nobody hedges what is done here
            workers = Workers()
            try:
                _some(stage, workers, min(ROUNDS_PER_ARENA, rounds - made.rounds), made)
            finally:
                workers.close()
        say(f"double dispatch: {made.rounds} rounds, {made.orders} orders")
    return made


def _some(stage: Arena, workers: Workers, rounds: int, made: Dispatches) -> None:
    begun = made.rounds
    for number in range(rounds):
        if number % SYNC_EVERY == 0:
            stage.sync()
        name, side = NAMES[number % 2], ("buy", "sell")[number // 2 % 2]
        amount: Decimal = LOT * (1 + number // 4 % 60)
        intent = wish(stage, name, side, amount)
        workers.submit(intent)
        intent.refresh_from_db()
        assert (intent.state, intent.submission) == ("filled", "acknowledged"), intent.reason
        made.rounds += 1
    stage.settle(neutral=False)
    stage.verify(f"double dispatch {begun} to {made.rounds}")
    made.orders += sum(
        entry["execution"] == "NEW" for ledger in stage.ledgers() for entry in ledger.of("order")
    )
    assert made.orders == made.rounds, f"I1: {made.orders} orders of {made.rounds} rounds"
