"""The product on a stage of its own, with somebody who breaks thresholds one trade at a time.

Run as `python -m controlplane.benchmarks.stage RESULT COUNT` in an environment that points to an
empty directory; leaves what it measured in the file RESULT.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import django
import psutil
from django.db import connections

SYMBOLS: Final = ("BTC", "ETH")
SIZES: Final = {"BTC": (5, 20, Decimal("0.001")), "ETH": (120, 400, Decimal("0.001"))}
READY_SECONDS: Final = 90.0
HEDGE_SECONDS: Final = 10.0
AGREE_SECONDS: Final = 45.0
EACH_SECONDS: Final = 2.0
"""On the average no hedge, with the pause after it, may take longer: else nothing is measured."""
LEAST_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.03
PAUSE_SECONDS: Final = (0.1, 0.4)


def main() -> None:
    """Start everything, measure, stop everything."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    from controlplane.base import jobs
    from controlplane.demo import data
    from controlplane.demo.layout import demo_layout
    from controlplane.management.commands.demo import (
        free_port,
        outside_programs,
        prepare_database,
    )
    from controlplane.supervision import programs
    from controlplane.supervision.supervisor import Program

    result, count = Path(sys.argv[1]), int(sys.argv[2])
    directory = result.parent
    prepare_database(directory, allow_url=False)
    layout = demo_layout(free_port, has_actor=False)
    data.demo_load(layout=layout, password=data.password(directory / "login.json"))
    jobs.schedules_upsert()
    measuring = Program("benchmark", partial(_leave, layout.venues, count, result), True)
    programs.run(
        host="127.0.0.1",
        port=free_port("127.0.0.1"),
        announce=lambda supervisor: None,
        more=[*outside_programs(directory, layout), measuring],
    )


def _leave(venues: Sequence[Any], count: int, result: Path) -> None:
    connections.close_all()
    facts: dict[str, Any]
    try:
        facts = {**Measurement(venues, count).run()}
    except TimeoutError as problem:
        facts = {"problem": str(problem)}
    result.write_text(json.dumps(facts))


def longest(count: int) -> float:
    """Return how many seconds a stage that measures `count` hedges may take, start to end."""
    return READY_SECONDS + LEAST_SECONDS + EACH_SECONDS * count + HEDGE_SECONDS + AGREE_SECONDS


@dataclass(frozen=True, slots=True)
class Move:
    """A trade of somebody else, and the accounts whose orders may hedge it."""

    account_id: str
    symbol: str
    amount: Decimal
    partners: frozenset[str]


class Measurement:
    """Moves positions, waits for each hedge, and reads the ledgers afterwards."""

    def __init__(self, venues: Sequence[Any], count: int) -> None:
        self._venues = venues
        self._count = count
        self._random = random.Random(7)  # noqa: S311 - the same trades each run
        self._family = psutil.Process(os.getppid())

    def run(self) -> dict[str, tuple[float, str]]:
        from controlplane.demo import check, control

        self._wait_ready()
        for venue in self._venues:
            control.ask(venue, "/control/resume", {})
        began, used = time.monotonic(), self._cpu_seconds()
        moves, missed = self.trade()
        seconds, spent = time.monotonic() - began, self._cpu_seconds() - used
        memory = check.pss_megabytes(
            [self._family, *self._family.children(recursive=True), *_postgres()]
        )
        differing = self._differing()
        return {
            **self._latencies(moves),
            "missed": (missed, "hedges"),
            "disagreements": (differing, "orders and fills"),
            "cpu": (round(100 * spent / seconds, 1), "% of a core"),
            "memory": (memory, "MB PSS"),
            "rate": (round(len(moves) / seconds, 2), "hedges/s"),
        }

    def trade(self) -> tuple[list[Move], int]:
        """Make every trade and wait for its hedge; return the trades and how many had none.

        Raises TimeoutError when that takes longer than hedges may.
        """
        moves, missed, began = [], 0, time.monotonic()
        for number, move in enumerate(self._moves(), 1):
            moves.append(move)
            if not self._hedged(move):
                missed += 1
                sys.stdout.write(f"missed: {move}; {self._books()}\n")
            time.sleep(self._random.uniform(*PAUSE_SECONDS))
            if time.monotonic() - began > LEAST_SECONDS + EACH_SECONDS * self._count:
                raise TimeoutError(f"{number} of {self._count} took too long; {missed} missed.")
            if number % 20 == 0:
                sys.stdout.write(f"{number} of {self._count}\n")
                sys.stdout.flush()
        return moves, missed

    def _wait_ready(self) -> None:
        from controlplane.demo import check

        deadline = time.monotonic() + READY_SECONDS
        while problem := (check.feeds_problem() or check.accounts_problem(self._venues)):
            if time.monotonic() > deadline:
                raise TimeoutError(problem)
            time.sleep(0.5)
        self._wait_calm(deadline)

    def _wait_calm(self, deadline: float) -> None:
        from django.utils import timezone

        from hedging import selectors

        while sick := [
            f"{book.key} {book.reason}"
            for book in selectors.books(now=timezone.now())
            if book.state != "neutral"
        ]:
            if time.monotonic() > deadline:
                raise TimeoutError(", ".join(sick))
            time.sleep(0.2)

    def _books(self) -> str:
        from django.utils import timezone

        from hedging import selectors

        shown = selectors.books(now=timezone.now())
        return ", ".join(f"{book.key} {book.net_delta_btc} {book.reason}" for book in shown)

    def _moves(self) -> Iterator[Move]:
        """Yield trades that come back: each account's are undone before they grow."""
        books: dict[str, set[str]] = {}
        accounts = [(venue, item) for venue in self._venues for item in venue.accounts]
        for _venue, item in accounts:
            books.setdefault(item.book, set()).add(item.account_id)
        drift: dict[tuple[str, str], Decimal] = {}
        for number in range(self._count):
            _venue, item = accounts[number % len(accounts)]
            symbol = SYMBOLS[number // len(accounts) % 2]
            low, high, unit = SIZES[symbol]
            size = self._random.randint(low, high) * unit
            past = drift.get((item.account_id, symbol), Decimal(0))
            amount = -size if past > 0 else size
            drift[item.account_id, symbol] = past + amount
            yield Move(item.account_id, symbol, amount, frozenset(books[item.book]))

    def _hedged(self, move: Move) -> bool:
        """Make the trade; return whether a hedge that it led to has ended in time."""
        from controlplane.demo import control
        from hedging.models import HedgeExecution

        ended = HedgeExecution.objects.filter(result__isnull=False)
        before = ended.count()
        venue = next(
            item
            for item in self._venues
            if any(account.account_id == move.account_id for account in item.accounts)
        )
        body = {"account": move.account_id, "symbol": move.symbol, "amount": str(move.amount)}
        control.ask(venue, "/control/position", body)
        deadline = time.monotonic() + HEDGE_SECONDS
        while time.monotonic() < deadline:
            if ended.count() > before and not HedgeExecution.objects.running().exists():
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _latencies(self, moves: Sequence[Move]) -> dict[str, tuple[float, str]]:
        from controlplane.benchmarks.report import percentile
        from markets.venues.pacifica.ids import from_venue
        from strategies.models import OrderIntent

        breaches, accepted = [], []
        from controlplane.demo import control

        for venue in self._venues:
            breaches += [item for item in control.ledger(venue, "fill") if item["external"]]
            accepted += [
                item
                for item in control.ledger(venue, "order")
                if not item["external"] and item["execution"] == "NEW"
            ]
        breaches.sort(key=lambda item: int(item["atNs"]))
        accepted.sort(key=lambda item: int(item["atNs"]))
        intents = {item.client_order_id: item for item in OrderIntent.objects.all()}
        total, decide, queue, send = [], [], [], []
        ends = [int(item["atNs"]) for item in breaches[1:]] + [sys.maxsize]
        for breach, end in zip(breaches, ends, strict=True):
            start = int(breach["atNs"])
            partners = next(move.partners for move in moves if move.account_id == breach["account"])
            hedge = next(
                (
                    item
                    for item in accepted
                    if start < int(item["atNs"]) < end and item["account"] in partners
                ),
                None,
            )
            if hedge is None:
                continue
            intent = intents[from_venue(hedge["clientOrderId"])]
            assert intent.signed_at is not None
            created = intent.created_at.timestamp() * 1000
            signed = intent.signed_at.timestamp() * 1000
            at, taken = start / 1e6, int(hedge["atNs"]) / 1e6
            total.append(taken - at)
            decide.append(created - at)
            queue.append(signed - created)
            send.append(taken - signed)
        if not total:
            raise TimeoutError("No hedge was seen in the ledgers.")
        figures = {
            "p50": percentile(total, 0.5),
            "p95": percentile(total, 0.95),
            "p99": percentile(total, 0.99),
            "max": max(total),
            "decide_p50": percentile(decide, 0.5),
            "decide_p95": percentile(decide, 0.95),
            "decide_p99": percentile(decide, 0.99),
            "queue_p50": percentile(queue, 0.5),
            "queue_p95": percentile(queue, 0.95),
            "send_p50": percentile(send, 0.5),
            "send_p95": percentile(send, 0.95),
        }
        return {
            **{name: (round(value, 1), "ms") for name, value in figures.items()},
            "hedges": (len(total), "hedges"),
        }

    def _differing(self) -> int:
        """Wait until ledgers and database say the same; return how many records still differ."""
        from controlplane.demo import check, control

        for venue in self._venues:
            control.ask(venue, "/control/pause", {})
        ledgers, deadline = check.Ledgers(self._venues), time.monotonic() + AGREE_SECONDS
        while (found := ledgers.differences()) and time.monotonic() < deadline:
            time.sleep(0.5)
        for text in found[:20]:
            sys.stdout.write(f"differs: {text}\n")
        return len(found)

    def _cpu_seconds(self) -> float:
        """Return what the product's processes have used, the venues and ourselves left out."""
        return sum(sum(process.cpu_times()[:2]) for process in self._product())

    def _product(self) -> list[psutil.Process]:
        found = [self._family]
        for process in self._family.children(recursive=True):
            if process.pid != os.getpid():
                found.append(process)
        return found + _postgres()


def _postgres() -> list[psutil.Process]:
    from controlplane.management.commands.demo import postgres

    return postgres()


if __name__ == "__main__":
    main()
