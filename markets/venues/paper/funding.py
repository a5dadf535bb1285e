"""Settlements as the venue books them: truly, or late, twice, with the other sign, or never."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from markets.venues.paper.engine import Engine
from markets.venues.paper.faults import FaultKind, Faults, Stage, Subject
from markets.venues.paper.model import Account


@dataclass(frozen=True, slots=True)
class _Late:
    """A payment still to be booked; `due` is monotonic, `at_ns` the settlement's own time."""

    due: float
    account: Account
    symbol: str
    amount: Decimal
    at_ns: int


class Funding:
    """Settles markets; what is late is booked with the first second after it is due."""

    def __init__(self, engine: Engine, faults: Faults, now_ns: Callable[[], int]) -> None:
        self._engine = engine
        self._faults = faults
        self._now_ns = now_ns
        self._late: list[_Late] = []

    def settle_due(self, interval_ns: int) -> None:
        """Settle every market whose time has come."""
        now_ns = self._now_ns()
        for symbol, market in self._engine.markets.items():
            if now_ns >= market.next_funding_ns:
                self.settle(symbol, next_ns=(now_ns // interval_ns + 1) * interval_ns)

    def settle(self, symbol: str, *, next_ns: int) -> None:
        now_ns = self._now_ns()
        for account, amount in self._engine.funding_due(symbol):
            self._pay(account, symbol, amount, now_ns)
        self._engine.end_settlement(symbol, now_ns=now_ns, next_ns=next_ns)

    def book_late(self) -> None:
        now = time.monotonic()
        for item in [item for item in self._late if item.due <= now]:
            self._late.remove(item)
            self._engine.book_funding(item.account, item.symbol, item.amount, now_ns=item.at_ns)

    def _pay(self, account: Account, symbol: str, amount: Decimal, now_ns: int) -> None:
        taken = self._faults.take(Stage.FUNDING, Subject(account=account.label, symbol=symbol))
        kind = taken.fault.kind if taken else None
        if taken is not None and kind is FaultKind.FUNDING_LATE:
            due = time.monotonic() + taken.fault.delay_ms / 1000
            self._late.append(_Late(due, account, symbol, amount, now_ns))
            return
        if kind is FaultKind.FUNDING_MISSED:
            return
        if kind is FaultKind.FUNDING_FLIP:
            amount = -amount
        for _ in range(2 if kind is FaultKind.FUNDING_TWICE else 1):
            self._engine.book_funding(account, symbol, amount, now_ns=now_ns)
