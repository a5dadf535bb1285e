"""Cancelling all orders of stopped accounts, and proof from the venue that none is left."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db.models import Q
from django.db.models.functions import Now

from hedging.domain.emergency import StopScope
from hedging.models import EmergencyStop, StoppedAccount
from markets.venues.errors import OrderNotFound, VenueRejected
from markets.venues.ports import ExecutionClient
from markets.venues.types import CancelOrder, OrderReport
from strategies.domain.intent import Submission
from strategies.models import OrderIntent
from strategies.querysets import IntentQuerySet


@dataclass(frozen=True, slots=True)
class Cancels:
    """What of one account to cancel: whole contracts, or, of a module, single orders by id."""

    symbols: frozenset[str]
    only: Mapping[str, str] | None
    """client order id -> venue symbol; None: every order of the account."""

    async def carry_out(self, client: ExecutionClient) -> Sequence[OrderReport]:
        """Cancel, and return the orders that the venue lists afterwards, within the scope.

        What we know of is cancelled first, so that one look is mostly enough: a list of all
        orders is the dearest thing to ask for.
        """
        if self.only is not None:
            return await self._cancel_only(client)
        await asyncio.gather(*self._all(client, self.symbols))
        listed = await client.open_orders()
        if not listed:
            return listed
        await asyncio.gather(*self._all(client, {report.venue_symbol for report in listed}))
        return await client.open_orders()

    async def _cancel_only(self, client: ExecutionClient) -> Sequence[OrderReport]:
        wanted = self.only or {}
        await asyncio.gather(*(self._one(client, name, wanted[name]) for name in wanted))
        return self.covered(await client.open_orders())

    def covered(self, listed: Sequence[OrderReport]) -> Sequence[OrderReport]:
        """Return those of an account's orders that are within the scope."""
        return [it for it in listed if self.only is None or it.client_order_id in self.only]

    def _all(self, client: ExecutionClient, symbols: Iterable[str]) -> list["asyncio.Task[None]"]:
        return [asyncio.ensure_future(client.cancel_all(symbol)) for symbol in sorted(symbols)]

    @staticmethod
    async def _one(client: ExecutionClient, name: str, symbol: str) -> None:
        with suppress(OrderNotFound, VenueRejected):  # it is over; the list will show it
            await client.cancel(CancelOrder(symbol, name))


def cancels_of(stop: EmergencyStop, rows: Iterable[StoppedAccount]) -> Mapping[str, Cancels]:
    """Return, by account, what to cancel there."""
    names = [row.account_id for row in rows]
    known: dict[str, dict[str, str]] = {name: {} for name in names}
    for account_id, client_id, symbol in (
        _sent(stop, names)
        .exclude(type="ioc")
        .values_list("account_id", "client_order_id", "instrument__venue_symbol")
    ):
        known[account_id][client_id] = symbol
    is_module = stop.scope == StopScope.MODULE
    return {
        name: Cancels(frozenset(orders.values()), orders if is_module else None)
        for name, orders in known.items()
    }


def under_way(stop: EmergencyStop, names: Collection[str]) -> Mapping[str, int]:
    """Return, by account, how many orders may still reach the venue: sent, and no answer yet.

    One of unknown fate counts until its signature has expired: later the venue takes it no more,
    and its list of open orders is proof.
    """
    doubtful = Q(submission=Submission.SENDING) | Q(
        submission=Submission.UNKNOWN, expires_at__gt=Now()
    )
    counts: dict[str, int] = {}
    for name in _sent(stop, names).filter(doubtful).values_list("account_id", flat=True):
        counts[name] = counts.get(name, 0) + 1
    return counts


def _sent(stop: EmergencyStop, names: Collection[str]) -> IntentQuerySet:
    sent = OrderIntent.objects.live().filter(account__in=names, state="submitted").order_by()
    return sent.filter(module=stop.target) if stop.scope == StopScope.MODULE else sent
