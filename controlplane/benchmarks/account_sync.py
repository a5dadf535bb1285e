"""A hundred accounts synced at 50 ms per answer: our clients, plain ccxt and a bare client.

Each contender runs in a process of its own against one server; they take turns, and the figures
are ratios of medians.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final

from django.conf import settings

from controlplane.benchmarks.order_path import stub
from controlplane.benchmarks.report import BenchmarkFailed, Figure, Goal, Report

ACCOUNTS: Final = 100
LATENCY_MS: Final = 50
TURNS: Final = 3
ROUNDS: Final = 10
"""Warm syncs of every account in each turn."""
WORKER_SECONDS: Final = 300
GOALS: Final = (
    Goal("cold", 0.2),
    Goal("cold_cpu", 0.2),
    Goal("memory", 0.45),
    Goal("warm", 2.5),
)


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure; `count` bounds the accounts. Raises BenchmarkFailed when a contender fails."""
    accounts = min(count, ACCOUNTS)
    found: dict[str, list[Mapping[str, float]]] = {"ours": [], "ccxt": [], "bare": []}
    with stub(latency_ms=LATENCY_MS) as port:
        for turn in range(TURNS):
            for kind, facts in found.items():
                facts.append(_turn(kind, port, accounts))
            say(f"turn {turn + 1} of {TURNS}")
    middle = {
        kind: {name: median(fact[name] for fact in facts) for name in facts[0]}
        for kind, facts in found.items()
    }
    mine, usual, floor = middle["ours"], middle["ccxt"], middle["bare"]
    figures = {
        "cold": Figure(round(mine["cold_s"] / usual["cold_s"], 3), "× ccxt"),
        "cold_cpu": Figure(round(mine["cold_cpu_s"] / usual["cold_cpu_s"], 3), "× ccxt"),
        "memory": Figure(round(mine["memory_mb"] / usual["memory_mb"], 3), "× ccxt"),
        "warm": Figure(round(mine["warm_s"] / floor["warm_s"], 3), "× bare"),
        "warm_cpu": Figure(round(mine["warm_cpu_s"] / floor["warm_cpu_s"], 3), "× bare"),
        "accounts": Figure(accounts, "accounts"),
        "warm_ms": Figure(round(1000 * mine["warm_s"], 1), "ms"),
    }
    peers = [
        {"name": name, **{key: round(value, 4) for key, value in middle[kind].items()}}
        for kind, name in (("ccxt", "ccxt, one instance per account"), ("bare", "bare aiohttp"))
    ]
    return Report("account-sync", figures, GOALS, peers)


def _turn(kind: str, port: int, accounts: int) -> Mapping[str, float]:
    numbers = [str(number) for number in (port, accounts, ROUNDS)]
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "controlplane.benchmarks.sync_worker", kind, *numbers],
        cwd=settings.BASE_DIR,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=WORKER_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"{kind}: {done.stderr[-2000:]}")
    facts: Mapping[str, float] = json.loads(done.stdout)
    return facts
