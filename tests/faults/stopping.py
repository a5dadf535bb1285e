"""A floor for stops: two paper venues over sockets, a book with a leg on each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accounts.models import ExchangeAccount
from accounts.services import account_sync
from hedging.emergency.driving import stop_drive
from hedging.models import EmergencyStop
from markets.venues.paper.faults import Fault
from strategies.models import StrategyModule
from tests import factories
from tests.accounts.paper import Paper, paper_venue
from tests.faults.conftest import ACTOR


@dataclass
class Floor:
    """Account `long` at one venue and `short` at the other, joined by a hedge-only module."""

    venues: dict[str, Paper]
    accounts: dict[str, ExchangeAccount]

    def size(self, name: str, symbol: str = "BTCUSDT") -> Decimal:
        """What the venue itself says that an account holds; signed base."""
        paper = self.venues[name]
        held: Decimal = paper.do(lambda: paper.server.core.engine.accounts[name].size(symbol))
        return held

    def fault(self, name: str, fault: Fault) -> None:
        self.venues[name].do(lambda: self.venues[name].server.faults.add(fault))

    def mend(self, name: str) -> None:
        self.venues[name].do(self.venues[name].server.faults.clear)

    def sync(self) -> None:
        for account in self.accounts.values():
            account_sync(account=account, actor=ACTOR)

    def _fills(self, name: str) -> list[dict[str, Any]]:
        paper = self.venues[name]
        return paper.do(lambda: paper.server.ledger.since(kind="fill"))

    def net_path(self, first: str, second: str) -> list[Decimal]:
        """Return the net delta of two accounts after each fill, by the venues' own clocks."""
        fills = []
        net = self.size(first) + self.size(second)
        for name in (first, second):
            for entry in self._fills(name):
                sign = 1 if entry["side"].lower() == "buy" else -1
                fills.append((entry["atNs"], sign * Decimal(entry["amount"])))
        path = [net]
        for _at, signed in sorted(fills, reverse=True):
            path.append(path[-1] - signed)
        return path[::-1]


@contextmanager
def floor(size: str = "0.5") -> Iterator[Floor]:
    with (
        paper_venue(labels=("long",), long={"BTC": size}) as one,
        paper_venue(labels=("short",), short={"BTC": f"-{size}"}) as other,
    ):
        venues = {"long": one, "short": other}
        accounts = {name: venue.account(name) for name, venue in venues.items()}
        module = factories.module(module_id="hedger", dry_run_enabled=False)
        for account in accounts.values():
            factories.allocation(module=module, account=account)
        made = Floor(venues, accounts)
        made.sync()
        yield made


def system_hedge() -> None:
    """Store the built-in module, which tests that truncate tables lack."""
    fields = {"type": "hedge-only", "status": "enable", "dry_run_enabled": False}
    StrategyModule.objects.get_or_create(
        module_id="system-hedge", defaults={"name": "Hedging", **fields}
    )


def drive(stop: EmergencyStop, seconds: float = 8) -> bool:
    """Drive a stop, and return whether it is done."""
    done = stop_drive(stop_id=stop.pk, actor=ACTOR, seconds=seconds)
    stop.refresh_from_db()
    return done


def states(stop: EmergencyStop) -> dict[str, tuple[str, bool]]:
    """By account: where it stands and whether its venue has confirmed it."""
    return {
        row.account_id: (row.state, row.confirmed_at is not None) for row in stop.accounts.all()
    }
