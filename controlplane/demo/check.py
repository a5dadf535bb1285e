"""Prove that the demo does the whole job, against the paper venues' own ledgers."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psutil

from accounts.models import AccountState
from controlplane.demo.layout import DemoVenue
from controlplane.kernel.ids import intent_id_of
from hedging.models import Fill, HedgeExecution
from markets.choices import FeedStatus
from markets.models import MarketDataFeed
from strategies.models import OrderIntent

STEP_SECONDS: Final = 0.25
SETTLE: Final = timedelta(seconds=30)
LEAST_HEDGES: Final = 3

Trade = tuple[str, str, str, Decimal, Decimal]
Order = tuple[str, Decimal]


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


def check(venues: Sequence[DemoVenue], *, started: datetime, seconds: float) -> Summary:
    """Wait until everything is shown; raises NotShown when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    _wait(deadline, feeds_problem)
    _wait(deadline, lambda: accounts_problem(venues))
    _wait(deadline, hedge_problem)
    first = HedgeExecution.objects.filter(result="success").order_by("finished_at").first()
    assert first is not None
    assert first.finished_at is not None
    summary = Summary(seconds_to_first_hedge=(first.finished_at - started).total_seconds())
    # Positions stop moving, then both records must come to say the same.
    for venue in venues:
        ask(venue, "/control/pause", {})
    _wait(min(deadline, time.monotonic() + SETTLE.total_seconds()), lambda: disagreement(venues))
    finished = HedgeExecution.objects.filter(result="success")
    durations = sorted(each.duration_ms or 0 for each in finished.only("duration_ms"))
    summary.hedges = len(durations)
    summary.hedge_p95_ms = durations[min(len(durations) - 1, int(len(durations) * 0.95))]
    summary.orders = sum(len(ledger_orders(venue)) for venue in venues)
    summary.fills = sum(len(ledger_trades(venue)) for venue in venues)
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


def disagreement(venues: Sequence[DemoVenue]) -> str:
    """Say how the venues' ledgers and our database differ; empty when they agree."""
    for venue in venues:
        ours, theirs = our_trades(venue), ledger_trades(venue)
        if ours != theirs:
            return _difference(f"fills of {venue.venue_id}", ours, theirs)
        sent, accepted = our_orders(venue), ledger_orders(venue)
        if sent != accepted:
            return _difference(f"orders of {venue.venue_id}", sent, accepted)
    return ""


def our_trades(venue: DemoVenue) -> set[Trade]:
    fills = Fill.objects.filter(account__exchange_id=venue.venue_id, sandbox=False)
    return {
        (fill.account_id, fill.trade_id, fill.side, fill.amount, fill.price)
        for fill in fills.only("account_id", "trade_id", "side", "amount", "price")
    }


def ledger_trades(venue: DemoVenue) -> set[Trade]:
    return {
        (
            entry["account"],
            entry["tradeId"],
            entry["side"],
            Decimal(entry["amount"]),
            Decimal(entry["price"]),
        )
        for entry in ledger(venue, "fill")
    }


def our_orders(venue: DemoVenue) -> dict[str, Order]:
    sent = OrderIntent.objects.filter(
        account__exchange_id=venue.venue_id, sandbox=False, claim_fence=1
    ).exclude(state="failed")
    return {intent.client_order_id: (intent.state, intent.filled_amount) for intent in sent}


def ledger_orders(venue: DemoVenue) -> dict[str, Order]:
    """Return our orders' last state at the venue; others' orders are not ours to know."""
    states = {"filled": "filled", "open": "submitted", "partially-filled": "submitted"}
    return {
        entry["clientOrderId"]: (
            states.get(entry["status"], "cancelled"),
            Decimal(entry["filled"]),
        )
        for entry in ledger(venue, "order")
        if intent_id_of(entry["clientOrderId"]) is not None
    }


def ledger(venue: DemoVenue, kind: str) -> Iterator[dict[str, Any]]:
    """Yield a venue's ledger entries of one kind, oldest first."""
    since = 0
    while True:
        page = ask(venue, f"/control/ledger?kind={kind}&since={since}")["entries"]
        yield from page
        if not page:
            return
        since = page[-1]["seq"]


def ask(venue: DemoVenue, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the answer of a paper venue's control endpoint."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(venue.rest + path, data=data)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return json.loads(answer.read(), parse_float=Decimal)


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


def _difference(what: str, ours: Any, theirs: Any) -> str:
    ours, theirs = set(_items(ours)), set(_items(theirs))
    return (
        f"{what}: {len(ours)} ours, {len(theirs)} theirs; only ours {list(ours - theirs)[:2]}, "
        f"only theirs {list(theirs - ours)[:2]}"
    )


def _items(record: Any) -> Any:
    return record.items() if isinstance(record, dict) else record
