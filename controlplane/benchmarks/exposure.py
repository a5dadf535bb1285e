"""What a tick costs the hedge trigger: 1,000 accounts × 20 symbols, against a full recompute.

The peer is what a plain program does on each tick with numpy: every account's net and gross over
all symbols anew. Both run in this process, in turns, and the best turn of each counts.
"""

import random
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import numpy as np

from controlplane.benchmarks.report import Figure, Goal, Report
from hedging.domain.delta import BTC
from hedging.exposures import BookLine, ExposureTable

ACCOUNTS: Final = 1_000
SYMBOLS: Final = 20
TURNS: Final = 7
SEED: Final = 7
GOALS: Final = (Goal("tick", 3.0), Goal("error", 1e-9))
Ticks = Sequence[tuple[str, Decimal]]


def run(*, count: int, say: Callable[[str], None]) -> Report:
    """Measure; `count` is how many ticks of each symbol are taken, about, in each turn."""
    world = _World(ticks=count * SYMBOLS)
    # Thresholds that no delta reaches, as in quiet hours, and ones that a tenth of them exceed.
    quiet, busy = world.table(Decimal(10**9)), world.table(world.tenth())
    full = _Full(world)
    turns: dict[str, list[float]] = {"quiet": [], "busy": [], "deltas": [], "full": []}
    for turn in range(TURNS):
        turns["quiet"].append(_each(world.ticks, quiet.tick))
        turns["busy"].append(_each(world.ticks, busy.tick))
        turns["deltas"].append(_each(world.ticks, lambda s, p: (quiet.tick(s, p), quiet.deltas(s))))
        turns["full"].append(_each(world.ticks, full.tick))
        say(f"turn {turn + 1} of {TURNS}")
    us = {name: min(times) for name, times in turns.items()}
    exact, decimal_us = world.exact()
    error = max(
        abs(Decimal(value) - wanted)
        for symbol in world.symbols
        for value, wanted in zip(quiet.deltas(symbol).tolist(), exact[symbol], strict=True)
    )
    figures = {
        "tick": Figure(round(us["deltas"] / us["full"], 3), "× full numpy recompute"),
        "tick_quiet": Figure(round(us["quiet"] / us["full"], 3), "× full numpy recompute"),
        "tick_busy": Figure(round(us["busy"] / us["full"], 3), "× full numpy recompute"),
        "error": Figure(float(error), "BTC"),
        "us_tick": Figure(round(us["deltas"], 2), "µs"),
        "us_tick_quiet": Figure(round(us["quiet"], 2), "µs"),
        "us_tick_busy": Figure(round(us["busy"], 2), "µs"),
        "accounts": Figure(ACCOUNTS, "accounts"),
        "symbols": Figure(SYMBOLS, "symbols"),
    }
    peers = [
        {"name": "full numpy recompute", "usPerTick": round(us["full"], 2)},
        {"name": "full Decimal recompute", "usPerTick": round(decimal_us, 1)},
    ]
    return Report("exposure", figures, GOALS, peers)


class _World:
    """Accounts with positions in every symbol, and a run of ticks."""

    def __init__(self, *, ticks: int) -> None:
        dice = random.Random(SEED)  # noqa: S311 - made-up positions
        self.symbols = [BTC, *(f"S{number}" for number in range(1, SYMBOLS))]
        self.prices = {s: Decimal(str(round(dice.uniform(1, 60_000), 2))) for s in self.symbols}
        self.sizes = [
            {s: Decimal(str(round(dice.uniform(-5, 5), 3))) for s in self.symbols}
            for _ in range(ACCOUNTS)
        ]
        self.ticks: list[tuple[str, Decimal]] = []
        last = dict(self.prices)
        for _ in range(ticks):
            symbol = dice.choice(self.symbols)
            last[symbol] += Decimal(dice.randint(-9, 9)) / 100
            last[symbol] = max(last[symbol], Decimal("0.01"))
            self.ticks.append((symbol, last[symbol]))
        self.last = last

    def table(self, threshold: Decimal) -> ExposureTable:
        lines = [
            BookLine(f"live:{number}", threshold, sizes) for number, sizes in enumerate(self.sizes)
        ]
        return ExposureTable(lines, self.prices)

    def tenth(self) -> Decimal:
        """Return the delta that a tenth of all exceed."""
        ordered = sorted(
            abs(size * self.prices[symbol] / self.prices[BTC])
            for sizes in self.sizes
            for symbol, size in sizes.items()
        )
        return ordered[len(ordered) * 9 // 10]

    def exact(self) -> tuple[dict[str, list[Decimal]], float]:
        """Return every delta after the last tick in Decimal, and the µs that takes."""
        began = time.process_time()
        btc = self.last[BTC]
        exact = {
            symbol: [sizes[symbol] * self.last[symbol] / btc for sizes in self.sizes]
            for symbol in self.symbols
        }
        return exact, (time.process_time() - began) * 1e6


class _Full:
    """Everything anew on each tick."""

    def __init__(self, world: _World) -> None:
        self._sizes = np.array([[float(sizes[s]) for s in world.symbols] for sizes in world.sizes])
        self._gross = np.abs(self._sizes)
        self._prices = np.array([float(world.prices[s]) for s in world.symbols])
        self._rows = {symbol: row for row, symbol in enumerate(world.symbols)}
        self._equity = np.linspace(1e4, 1e6, len(world.sizes))

    def tick(self, symbol: str, price: Decimal) -> object:
        self._prices[self._rows[symbol]] = float(price)
        net = self._sizes @ self._prices / self._prices[0]
        return net, self._gross @ self._prices / self._equity


def _each(ticks: Ticks, take: Callable[[str, Decimal], object]) -> float:
    """Return the µs of CPU that a tick takes."""
    began = time.process_time()
    for symbol, price in ticks:
        take(symbol, price)
    return (time.process_time() - began) / len(ticks) * 1e6
