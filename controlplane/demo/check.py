"""Prove that the demo does the whole job, against the paper venues' own ledgers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Final

import psutil

from accounts.models import AccountState
from controlplane.demo import crossings, replay, routes
from controlplane.demo.captures import Recording
from controlplane.demo.control import ask, ledger
from controlplane.demo.layout import DemoLayout, DemoVenue
from controlplane.faults import oracle
from controlplane.faults.findings import Entry, VenueLedger, our_id
from hedging.models import HedgeExecution
from markets.choices import FeedStatus
from markets.models import MarketDataFeed

STEP_SECONDS: Final = 0.25
SETTLE: Final = timedelta(seconds=30)
LEAST_HEDGES: Final = 3
KINDS: Final = ("order", "fill")


class NotShown(Exception):
    """The demo did not show what it must in time; the text says what is missing."""


@dataclass(slots=True)
class Summary:
    """What the check saw."""

    seconds_to_first_hedge: float = 0.0
    hedges: int = 0
    hedge_p95_ms: int = 0
    orders: int = 0
    fills: int = 0
    pss_mb: int = 0
    crossings: Sequence[str] = field(default_factory=list)
    private_requests: int = 0
    private_sockets: int = 0
    exits: Sequence[str] = field(default_factory=list)
    feeds: Sequence[replay.FeedCount] = field(default_factory=list)


def check(
    layout: DemoLayout,
    *,
    directory: Path,
    started: datetime,
    seconds: float,
    recorded: Sequence[Recording] = (),
) -> Summary:
    """Wait until everything is shown; raises NotShown when it is not within `seconds`.

    Captures are played to their end first. `directory` is where the proxies keep their logs.
    """
    deadline, venues = time.monotonic() + seconds, layout.venues
    if recorded:
        _wait(deadline, lambda: accounts_problem(venues))
        _play(deadline, venues, recorded)
        if problem := hedge_problem() or crossings.missing(venues):
            raise NotShown(problem)
    else:
        _wait(deadline, feeds_problem)
        _wait(deadline, lambda: accounts_problem(venues))
        _wait(deadline, lambda: hedge_problem() or crossings.missing(venues))
    first = HedgeExecution.objects.filter(result="success").order_by("finished_at").first()
    assert first is not None
    assert first.finished_at is not None
    summary = Summary(seconds_to_first_hedge=(first.finished_at - started).total_seconds())
    # Positions stop moving, then both records must come to say the same.
    for venue in venues:
        ask(venue, "/control/pause", {})
    settled = min(deadline, time.monotonic() + SETTLE.total_seconds())
    ledgers = Ledgers(venues)
    _wait(settled, ledgers.disagreement)
    if recorded:
        _wait(settled, lambda: replay.lost(replay.counts(venues, recorded)))
        summary.feeds = replay.counts(venues, recorded)
    way = routes.routes(layout, directory)
    if way.problem:
        raise NotShown(way.problem)
    summary.private_requests, summary.private_sockets = way.requests, way.sockets
    summary.exits, summary.crossings = (
        way.exits,
        [crossings.told(each) for each in crossings.WANTED],
    )
    finished = HedgeExecution.objects.filter(result="success")
    durations = sorted(each.duration_ms or 0 for each in finished.only("duration_ms"))
    summary.hedges = len(durations)
    summary.hedge_p95_ms = durations[min(len(durations) - 1, int(len(durations) * 0.95))]
    told = ledgers.read()
    summary.orders = sum(len({our_id(it) for it in one.of("order")} - {""}) for one in told)
    summary.fills = sum(len(one.of("fill")) for one in told)
    return summary


def feeds_problem() -> str:
    """Say which enabled feed is not healthy; empty when all are."""
    sick = MarketDataFeed.objects.filter(is_enabled=True).exclude(status=str(FeedStatus.HEALTHY))
    return ", ".join(f"feed {feed.pk} is {feed.status}" for feed in sick)


def accounts_problem(venues: Sequence[DemoVenue]) -> str:
    """Say which account has not been read as a whole; empty when all have."""
    wanted = {account.account_id for venue in venues for account in venue.accounts}
    known = AccountState.objects.filter(
        pk__in=wanted, balance_at__isnull=False, positions_at__isnull=False, equity__isnull=False
    )
    missing = wanted - set(known.values_list("pk", flat=True))
    return f"accounts not synced: {', '.join(sorted(missing))}" if missing else ""


def hedge_problem() -> str:
    """Say what lacks of a few breaches hedged live and back inside their threshold."""
    hedged = sum(
        execution.delta_after is not None
        and abs(execution.delta_before) > execution.threshold >= abs(execution.delta_after)
        and execution.intents.filter(sandbox=False, state="filled").exists()
        for execution in HedgeExecution.objects.filter(result="success", delta_after__isnull=False)
    )
    if hedged >= LEAST_HEDGES:
        return ""
    seen = HedgeExecution.objects.values_list("result", "reason")[:3]
    return f"{hedged} breaches were hedged back inside their threshold (last: {list(seen)})"


class Ledgers:
    """What the venues have written down of orders and trades; only news are asked for again."""

    def __init__(self, venues: Sequence[DemoVenue]) -> None:
        self._kept = [(venue, kind, list[Entry]()) for venue in venues for kind in KINDS]
        self._venues = venues

    def read(self) -> list[VenueLedger]:
        """Return each venue's, as it is now."""
        for venue, kind, kept in self._kept:
            kept += ledger(venue, kind, since=kept[-1]["seq"] if kept else 0)
        return [VenueLedger(venue.venue_id, self._entries(venue)) for venue in self._venues]

    def _entries(self, venue: DemoVenue) -> Sequence[Entry]:
        kept = (entries for whose, _kind, entries in self._kept if whose is venue)
        return list(merge(*kept, key=itemgetter("seq")))

    def differences(self) -> list[str]:
        """Return a text for each thing that the oracle finds wrong once all has come to rest."""
        return [str(item) for item in oracle.violations(self.read())]

    def disagreement(self) -> str:
        """Say how the venues' ledgers and our database differ; empty when they agree."""
        found = self.differences()
        return f"{len(found)} differ: {'; '.join(found[:3])}" if found else ""


def pss_megabytes(family: Sequence[psutil.Process]) -> int:
    """Return the memory of the processes, shared pages counted once, in MB; 0 where unknown."""
    total = 0
    for process in family:
        try:
            with open(f"/proc/{process.pid}/smaps_rollup") as lines:
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return round(total / 1024)


def _wait(deadline: float, problem: Callable[[], str]) -> None:
    while text := problem():
        if time.monotonic() > deadline:
            raise NotShown(text)
        time.sleep(STEP_SECONDS)


def _play(deadline: float, venues: Sequence[DemoVenue], recorded: Sequence[Recording]) -> None:
    """Start the captures when every feed listens, and wait for their end."""
    _wait(deadline, lambda: replay.waiting(venues))
    replay.begin(venues)
    total = len(venues) * sum(item.quotes for item in recorded)
    told = time.monotonic()
    while left := replay.unplayed(venues, recorded):
        if time.monotonic() > deadline:
            raise NotShown(f"{left} of {total} recorded quotes were not played")
        if time.monotonic() - told >= replay.TELL_SECONDS:
            told = time.monotonic()
            print(f"{total - left} of {total} recorded quotes played", flush=True)  # noqa: T201
        time.sleep(STEP_SECONDS)
