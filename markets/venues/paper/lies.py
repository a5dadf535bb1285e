"""What reads are made to show: an account as it was, without its orders, with other positions."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Final

from markets.venues.paper.faults import ANY, Fault, FaultKind, Standing
from markets.venues.paper.model import Account

View = Callable[[Account], Account]
NANOSECONDS: Final = 1_000_000_000
MAX_STATES: Final = 10_000


def as_it_is(account: Account) -> Account:
    return account


def copied(account: Account) -> Account:
    """Return an account that no later act changes."""
    orders = {key: replace(order) for key, order in account.orders.items()}
    newest = {
        client_id: orders[order.order_id]
        for client_id, order in account.newest_by_client_id.items()
    }
    return replace(
        account,
        positions={symbol: replace(held) for symbol, held in account.positions.items()},
        leverage=dict(account.leverage),
        isolated=set(account.isolated),
        orders=orders,
        open_orders={key: orders[key] for key in account.open_orders},
        newest_by_client_id=newest,
        trades=list(account.trades),
        income=list(account.income),
    )


class Past:
    """Each account's states since it is `watching`, so that reads can be made to lag."""

    def __init__(self) -> None:
        self.watching = False
        self._states: dict[str, deque[tuple[int, Account]]] = defaultdict(
            lambda: deque(maxlen=MAX_STATES)
        )

    def start(self, accounts: Sequence[Account]) -> None:
        self.watching = True
        for account in accounts:
            self.note(account)

    def stop(self) -> None:
        self.watching = False
        self._states.clear()

    def note(self, account: Account) -> None:
        self._states[account.label].append((time.monotonic_ns(), copied(account)))

    def before(self, account: Account, lag_ns: int) -> Account:
        """Return the account as it was `lag_ns` ago, or as first noted."""
        states, until_ns = self._states[account.label], time.monotonic_ns() - lag_ns
        shown = states[0][1] if states else account
        for at_ns, state in states:
            if at_ns > until_ns:
                break
            shown = state
        return shown


def view_of(lies: Sequence[Standing], past: Past) -> View:
    """Return what a read shows of an account while `lies` are told."""
    if not lies:
        return as_it_is
    return lambda account: reduce(
        lambda shown, lie: _told(lie.fault, shown, past),
        # The lag goes first: the others are told about what it shows.
        sorted(lies, key=lambda lie: lie.fault.kind is not FaultKind.QUERY_LAG),
        account,
    )


def _told(fault: Fault, account: Account, past: Past) -> Account:
    if fault.kind is FaultKind.QUERY_LAG:
        return past.before(account, int(fault.lag_seconds * NANOSECONDS))
    shown = copied(account)
    if fault.kind is FaultKind.QUERY_LIES_NOT_FOUND:
        for orders in (shown.orders, shown.open_orders):
            for key, order in list(orders.items()):
                if fault.symbol in (ANY, order.symbol):
                    del orders[key]
        for client_id, order in list(shown.newest_by_client_id.items()):
            if fault.symbol in (ANY, order.symbol):
                del shown.newest_by_client_id[client_id]
    else:
        for symbol, held in shown.positions.items():
            if fault.symbol in (ANY, symbol):
                held.size *= fault.factor
    return shown
