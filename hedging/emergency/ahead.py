"""Looks at accounts that are closed, under way while what closed them is being recorded."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future

from accounts.models import ExchangeAccount
from hedging.emergency.asking import ask_begin
from hedging.emergency.flattening import Holder
from markets.venues.ports import ExecutionClient
from markets.venues.types import OrderReport, PositionReport
from strategies.models import OrderIntent

Seen = tuple[Sequence[OrderReport], Sequence[PositionReport]]
"""An account's open orders, and then its positions."""
Looks = dict[str, Seen | BaseException]


async def look(_name: str, client: ExecutionClient) -> Seen:
    """Return what the venue says of an account now: both on its one warm connection."""
    return await client.open_orders(), await client.positions()


class LooksAhead:
    """Begun when an account's last order of a wave is answered: what it shows came after it.

    A look proves that an account is flat, or nothing: an order taken may fill a moment later.
    """

    def __init__(self, accounts: Mapping[str, ExchangeAccount]) -> None:
        self._accounts = accounts
        self._begun: list[Future[Looks]] = []

    def begin(self, intents: Sequence[OrderIntent]) -> None:
        """Look at the accounts of orders that have all been answered."""
        names = {intent.account_id for intent in intents}
        self._begun.append(ask_begin({name: self._accounts[name] for name in names}, look))

    def flat(self, holder: Holder, *, among: Collection[str]) -> dict[str, Seen]:
        """Return, of accounts, the looks that show no order and nothing to close."""
        last: Looks = {}
        for begun in self._begun:
            last |= begun.result()
        return {
            name: seen
            for name, seen in last.items()
            if name in among
            and not isinstance(seen, BaseException)
            and not _is_open(holder, name, seen)
        }


def _is_open(holder: Holder, name: str, seen: Seen) -> bool:
    orders, positions = seen
    return bool(orders) or holder.holdings(name, positions).is_to_close
