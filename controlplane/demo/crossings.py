"""Which venue's leg was hedged at which venue, by the ledgers' word on who moved first."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from controlplane.demo.control import ledger
from controlplane.demo.layout import DemoVenue
from hedging.models import HedgeExecution

Crossing = tuple[str, str]
"""The venue where somebody moved a position, and the one whose order made up for it."""

WANTED: Final[Sequence[Crossing]] = (
    ("paper-pacifica", "paper-aster"),
    ("paper-binance", "paper-pacifica"),
)


def missing(venues: Sequence[DemoVenue]) -> str:
    """Say which crossing has not been seen yet; empty when all have."""
    seen = crossings(venues)
    absent = [told(crossing) for crossing in WANTED if crossing not in seen]
    return f"not hedged yet: {', '.join(absent)}" if absent else ""


def told(crossing: Crossing) -> str:
    return f"{crossing[0]} by {crossing[1]}"


def crossings(venues: Sequence[DemoVenue]) -> set[Crossing]:
    """Return from where to where successful live hedges went."""
    moves = _moves(venues)
    books = {account.account_id: account.book for each in venues for account in each.accounts}
    hedges = HedgeExecution.objects.filter(
        result="success", intents__state="filled", intents__sandbox=False
    ).values_list("created_at", "symbol", "intents__account_id", "intents__account__exchange_id")
    found = set()
    for created_at, symbol, account_id, venue_id in hedges:
        decided_ns = int(created_at.timestamp() * 1e9)
        before = [move for move in moves[books[account_id], symbol] if move[0] <= decided_ns]
        if before:
            found.add((max(before)[1], venue_id))
    return found


def _moves(venues: Sequence[DemoVenue]) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """Return when and at which venue others traded, by book and base asset."""
    moves: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for venue in venues:
        books = {account.account_id: account.book for account in venue.accounts}
        for entry in ledger(venue, "fill"):
            if entry["external"] and entry["account"] in books:
                base = entry["symbol"].removesuffix("USDT")
                moves[books[entry["account"]], base].append((int(entry["atNs"]), venue.venue_id))
    return moves
