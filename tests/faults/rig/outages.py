"""Connectivity lost and regained, and how long books are out of their threshold meanwhile.

The product runs as people run it, against three paper venues with somebody who trades on the
accounts, through two proxies. The venues refuse every order for a while; then the proxies are
killed and come back, several times. How far a book is out of its threshold, and since when, is
told by the venues' own ledgers.
Run as `python -m tests.faults.rig.outages RESULT CUTS` like the plugs.
"""

import json
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tests.faults.rig.plugs import Plug, Plugs, World, kill, ours, prepare
from tests.faults.rig.trace import Trace

ACTOR_SECONDS: Final = "4"
THRESHOLD_BTC: Final = Decimal("0.0005")
CALM_SECONDS: Final = 60.0
CUT_SECONDS: Final = (6.0, 15.0)
REFUSED_SECONDS: Final = 16.0
OVERDUE_SECONDS: Final = 10.0
"""A book that is out of its threshold for longer is an alarm."""
KNOWN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A book out of its threshold; ns of the venues' clock. `ended` is None while it lasts."""

    symbol: str
    began: int
    ended: int | None

    @property
    def seconds(self) -> float:
        return ((self.ended or time.time_ns()) - self.began) / 1e9


@dataclass
class Outages:
    """What came of it, in seconds."""

    cuts: int = 0
    known: list[float] = field(default_factory=list)
    """From the first proxy's return until the database knew every order and trade."""
    told: list[float] = field(default_factory=list)
    """From a cut until it was told of."""
    breaches: list[float] = field(default_factory=list)
    """How long books were out of their threshold while all was well."""
    alerted: list[float] = field(default_factory=list)
    """From a breach that could not be hedged until it was told of."""
    overdue: list[float] = field(default_factory=list)
    """From such a breach, if it lasted too long, until it was an alarm."""
    problem: str = ""


def main() -> None:
    """Start everything, cut it off so often, and leave what was measured."""
    result, count = Path(sys.argv[1]), int(sys.argv[2])
    directory = result.parent
    layout = prepare(directory)
    world, made = World(directory, layout, ACTOR_SECONDS), Outages()
    try:
        world.start()
        _Outage(directory, layout.venues, world, made).run(count)
    except Exception as problem:
        made.problem = str(problem) or repr(problem)
    finally:
        kill(ours(directory, spared=world.pids()))
        world.stop()
        result.write_text(json.dumps(asdict(made)))


class _Outage(Plug):
    """The product, started once."""

    def __init__(self, directory: Path, venues: Sequence[Any], world: World, made: Outages) -> None:
        super().__init__(directory, venues, world, Plugs())
        self._seen, self._chance = made, random.Random(11)

    def run(self, count: int) -> None:
        """Let it trade, have the venues refuse its orders, and cut it off again and again."""
        self._start()
        began = time.time_ns()
        time.sleep(CALM_SECONDS)
        until = time.time_ns()
        self._seen.breaches = [
            breach.seconds for breach in self._breaches() if began <= breach.began < until - 10**10
        ]
        self._refuse()  # accounts that lose every way out stay paused until a person resumes them
        for _ in range(count):
            self._cut()

    def _cut(self) -> None:
        began = time.time_ns()
        self._world.disconnect()
        time.sleep(self._chance.uniform(*CUT_SECONDS))
        self._all("/control/pause")
        self._world.connect()
        self._seen.cuts += 1
        self._seen.known.append(self._agree(Trace(), f"cut {self._seen.cuts}", KNOWN_SECONDS))
        self._seen.told.append(self._first_alert(began))
        self._all("/control/resume")
        time.sleep(CUT_SECONDS[0])

    def _refuse(self) -> None:
        """Have every venue refuse every order, and see when each breach is told of."""
        from controlplane.demo.control import ask

        fault = {"kind": "refuse", "reason": "insufficient-margin", "seconds": REFUSED_SECONDS}
        began = time.time_ns()
        for venue in self._venues:
            ask(venue, "/control/fault", {**fault, "topic": "place", "times": 10_000})
        time.sleep(REFUSED_SECONDS)
        lasting = [it for it in self._breaches() if it.began >= began and it.seconds > 5]
        self._seen.alerted = [self._first_alert(it.began, it.symbol) for it in lasting]
        time.sleep(2)  # an alarm that is due at the end
        self._seen.overdue = [
            self._first_alert(it.began, it.symbol, severities=("CRITICAL",))
            for it in lasting
            if it.seconds > OVERDUE_SECONDS + 2
        ]

    def _first_alert(
        self, began: int, symbol: str = "", severities: Sequence[str] = ("WARN", "CRITICAL")
    ) -> float:
        """Return after how many seconds something was told of, of `symbol` where it is named."""
        from monitoring.models import MonitoringEvent

        since = datetime.fromtimestamp(began / 1e9, UTC)
        events = MonitoringEvent.objects.filter(created_at__gte=since)
        events = events.filter(severity__in=severities)
        if symbol:
            events = events.filter(payload__symbol=symbol)
        first = events.order_by("created_at").first()
        assert first is not None, f"nothing was told of what began at {since:%H:%M:%S}"
        return (first.created_at - since).total_seconds()

    def _breaches(self) -> list[Breach]:
        books = {one.account_id: one.book for venue in self._venues for one in venue.accounts}
        fills = [fill for ledger in self._ledgers.read() for fill in ledger.of("fill")]
        return breaches(fills, books)


def breaches(fills: Iterable[Mapping[str, Any]], books: Mapping[str, str]) -> list[Breach]:
    """Return when books were out of their threshold, by the venues' fills alone.

    `books` names each account's book; every book was neutral before the first fill.
    """
    net: dict[tuple[str, str], Decimal] = {}
    open_: dict[tuple[str, str], int] = {}
    prices: dict[str, Decimal] = {}
    found = []
    for fill in sorted(fills, key=lambda it: int(it["atNs"])):
        if not (book := books.get(fill["account"])):
            continue
        symbol, at = fill["symbol"].removesuffix("USDT"), int(fill["atNs"])
        prices[symbol] = Decimal(fill["price"])
        place = (book, symbol)
        signed = Decimal(fill["amount"]) * (1 if fill["side"] == "buy" else -1)
        net[place] = net.get(place, Decimal(0)) + signed
        worth = prices[symbol] / prices.get("BTC", prices[symbol])
        if abs(net[place]) * worth > THRESHOLD_BTC:
            open_.setdefault(place, at)
        elif place in open_:
            found.append(Breach(symbol, open_.pop(place), at))
    return [*found, *(Breach(symbol, at, None) for (_, symbol), at in open_.items())]


if __name__ == "__main__":
    main()
