"""The rounds of emergency-stop: blocked alone, stopped whole beside a bare client, and slowly."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import uvloop

from controlplane.benchmarks import stop_rows
from controlplane.benchmarks.report import percentile
from controlplane.benchmarks.stop_bare import rest_orders, stop_bare
from controlplane.benchmarks.stop_venues import (
    LATENCY_MS,
    VENUES,
    Account,
    Place,
    hold_positions,
    requests_counted,
)
from controlplane.demo import control
from hedging.emergency.driving import stop_drive
from hedging.emergency.verbs import stop_engage
from hedging.models import EmergencyStop, StoppedAccount

BLOCKS: Final = 40
ROUNDS: Final = 5
SLOW_MS: Final = 500
ORDERS: Final = 2
AMOUNT, PRICE = "0.001", "50000"
"""Of the orders that rest: far from the market."""

Facts = dict[str, tuple[float, str]]


@dataclass
class Rounds:
    """Seconds of each round, and milliseconds until each stop held."""

    blocked: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    cancelled: list[float] = field(default_factory=list)
    open: int = 0
    requests: int = 0
    bare_requests: int = 0


def measure(ours: Sequence[Account], bare: Sequence[Account], places: Sequence[Place]) -> Facts:
    """Block again and again; stop both contenders' accounts; then slowly with a venue down."""
    seen = Rounds()
    for _ in range(BLOCKS):
        seen.blocked.append(_blocked())
        stop_rows.forget_stops()
    for _ in range(ROUNDS):
        _stand(ours, bare, places)
        _round(seen, bare, places)
        stop_rows.release()
    slow = _slowly(ours, places)
    ratios = [mine / its for mine, its in zip(seen.ours, seen.bare, strict=True)]
    return {
        "bare": (round(median(seen.bare), 3), "s"),
        "flatten": (round(median(ratios), 3), "× bare"),
        "flatten_worst": (round(max(ratios), 3), "× bare"),
        "wall": (round(median(seen.ours), 3), "s"),
        "blocked_p50": (round(median(seen.blocked), 1), "ms"),
        "blocked_p99": (round(percentile(seen.blocked, 0.99), 1), "ms"),
        "blocks": (len(seen.blocked), "stops pulled"),
        "cancelled_p99": (round(percentile(seen.cancelled, 0.99), 3), "s"),
        "not_confirmed": (seen.open, "accounts"),
        "slow_done": (round(slow, 3), "s"),
        "accounts": (len(ours), "accounts"),
        "orders": (ORDERS * len(ours), "orders"),
        "requests": (seen.requests, "requests a stop"),
        "bare_requests": (seen.bare_requests, "requests a stop"),
    }


def _stand(ours: Sequence[Account], bare: Sequence[Account], places: Sequence[Place]) -> None:
    """Have every account hold its position and two orders; ours are known to the product.

    That opens our clients and sockets, as they are open in a running sentinel.
    """
    hold_positions([*ours, *bare], places)
    uvloop.run(rest_orders(bare, places, count=ORDERS, amount=AMOUNT, price=PRICE))
    stop_rows.orders_rest(count=ORDERS, amount=AMOUNT, price=PRICE)


def _round(seen: Rounds, bare: Sequence[Account], places: Sequence[Place]) -> None:
    before = requests_counted(places)
    seen.bare.append(uvloop.run(stop_bare(bare, places)))
    between = requests_counted(places)
    seen.ours.append(_stopped(30)[0])
    seen.bare_requests = between - before
    seen.requests = requests_counted(places) - between
    rows = list(StoppedAccount.objects.filter(stop__released_at=None).select_related("stop"))
    seen.cancelled += [
        (row.cancelled_at - row.stop.created_at).total_seconds() for row in rows if row.cancelled_at
    ]
    seen.open += sum(row.confirmed_at is None for row in rows)
    stop_rows.orders_follow()


def _slowly(ours: Sequence[Account], places: Sequence[Place]) -> float:
    """Stop with slow answers and a venue down; return the seconds until the others were done."""
    hold_positions(ours, places)
    stop_rows.orders_rest(count=ORDERS, amount=AMOUNT, price=PRICE)
    for place in places:
        more = {"kind": "latency", "delayMs": SLOW_MS - LATENCY_MS}
        control.ask(place, "/control/fault", more)
    down = {"kind": "answer", "status": 503, "at": "pre_accept", "seconds": 600, "probability": 1}
    control.ask(places[-1], "/control/fault", down)
    seconds, _blocked_ms = _stopped(40)
    rows = {
        row.account_id: row
        for row in StoppedAccount.objects.filter(stop__released_at=None).select_related("stop")
    }
    reachable = [rows[it.name] for it in ours if it.place != VENUES - 1]
    return max(
        (row.confirmed_at - row.stop.created_at).total_seconds()
        if row.confirmed_at
        else seconds + 60
        for row in reachable
    )


def _blocked() -> float:
    """Pull a stop of everything; return the milliseconds until it held."""
    began = time.monotonic()
    stop_engage(scope="all", reason="benchmark", actor=stop_rows.ACTOR)
    return 1000 * (time.monotonic() - began)


def _stopped(most: float) -> tuple[float, float]:
    """Pull a stop and drive it; return the seconds, and the milliseconds until it held."""
    began = time.monotonic()
    blocked_ms = _blocked()
    stop = EmergencyStop.objects.standing().get()
    while not stop_drive(stop_id=stop.pk, actor=stop_rows.ACTOR, seconds=2):
        if time.monotonic() > began + most or _only_down_left(stop):
            break
    return time.monotonic() - began, blocked_ms


def _only_down_left(stop: Any) -> bool:
    left = set(stop.accounts.unfinished().values_list("account__exchange_id", flat=True))
    return left == {f"paper-{VENUES - 1}"}
