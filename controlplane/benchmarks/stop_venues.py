"""The paper venues that emergency stops are measured on, in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from controlplane.demo import control

VENUES: Final = 3
LATENCY_MS: Final = 50
SIZES: Final = ("0.5", "-0.25", "-0.25")
"""Of each book's accounts, one at each venue: a book is neutral."""
SYMBOL: Final = "BTCUSDT"
ASKERS: Final = 16


@dataclass(frozen=True, slots=True)
class Account:
    """One account of one venue; `place` is the venue's number."""

    name: str
    place: int

    @property
    def key(self) -> str:
        return f"key-{self.name}"

    @property
    def secret(self) -> str:
        return f"secret-{self.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """One venue, where it listens."""

    rest: str
    websocket: str
    port: int


@contextmanager
def venues(accounts: Sequence[Account]) -> Iterator[list[Place]]:
    """Run the paper venues in processes of their own; yields where they are."""
    processes = []
    try:
        for place in range(VENUES):
            config = {
                "name": f"paper-{place}",
                "control": True,
                "latencyMs": LATENCY_MS,
                "symbols": ["BTC"],
                "accounts": [
                    {
                        "label": it.name,
                        "apiKey": it.key,
                        "apiSecret": it.secret,
                        "balance": "1000000",
                    }
                    for it in accounts
                    if it.place == place
                ],
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, "manage.py", "run_paper_venue", "--json"],
                    env={**os.environ, "PAPER_VENUE_CONFIG": json.dumps(config)},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        yield [_listening(process) for process in processes]
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)


def _listening(process: "subprocess.Popen[str]") -> Place:
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    return Place(told["rest"], told["websocket"], int(told["rest"].rpartition(":")[2]))


def hold_positions(accounts: Sequence[Account], places: Sequence[Place]) -> None:
    """Have each account hold its size, as if a person had traded at the venue."""

    def hold(account: Account) -> None:
        body = {"account": account.name, "symbol": SYMBOL, "amount": SIZES[account.place]}
        control.ask(places[account.place], "/control/position", body)

    with ThreadPoolExecutor(ASKERS) as pool:
        list(pool.map(hold, accounts))


def requests_counted(places: Sequence[Place]) -> int:
    """Return how many requests about accounts the venues' ledgers have; not those for the time."""
    entries = (entry for place in places for entry in control.ledger(place, "request"))
    return sum(it["account"] is not None and not it["path"].endswith("/time") for it in entries)
