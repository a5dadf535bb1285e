"""What several orders of one decision are judged by, each thing read once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.domain.arming import Reconciled, is_armed
from accounts.models import AccountState, ExchangeAccount
from controlplane.base.prepared import prepared
from markets import selectors as markets
from markets.models import Instrument
from markets.selectors import MarketStanding, Place
from strategies.models import AccountAllocation, OrderIntent


@dataclass(frozen=True, slots=True)
class AccountLook:
    """What was last read of an account. `equity` is USD; each is None when it never was."""

    equity: Decimal | None
    balance_at: datetime | None
    positions_at: datetime | None
    reconciled_at: datetime | None
    recovery_at: datetime | None


class Moment:
    """Markets, prices, accounts and allocations as they are at `now`, read when first asked for.

    It lives as long as one decision. A claim makes its own once it holds its locks. What other
    claims change (orders on their way, positions, limits) it never keeps.
    """

    def __init__(self, now: datetime, references: Mapping[str, Decimal] | None = None) -> None:
        """`references` are those already read as they are at `now`."""
        self.now = now
        self._markets: dict[Place, MarketStanding] = {}
        self._references: dict[str, Decimal | None] = {**(references or {})}
        self._looks: dict[str, AccountLook] = {}
        self._modes: dict[tuple[str, str], bool] = {}

    def market(self, instrument: Instrument) -> MarketStanding:
        """Return what is known of the instrument's own market."""
        place = (instrument.venue_id, instrument.symbol)
        return self.markets([place])[place]

    def markets(self, places: Collection[Place]) -> dict[Place, MarketStanding]:
        """Return what is known of each of these markets."""
        if missing := set(places) - self._markets.keys():
            self._markets |= markets.market_standings(missing, now=self.now)
        return {place: self._markets[place] for place in places}

    def references(self, symbols: Collection[str]) -> dict[str, Decimal]:
        """Return the reference price of each symbol that has one."""
        if missing := set(symbols) - self._references.keys():
            found = markets.reference_prices(missing, now=self.now)
            self._references |= {symbol: found.get(symbol) for symbol in missing}
        known = ((symbol, self._references[symbol]) for symbol in symbols)
        return {symbol: price for symbol, price in known if price is not None}

    def look(self, account_id: str) -> AccountLook:
        """Return what was last read of an account."""
        if account_id not in self._looks:
            (row,) = _last_read(account_id=account_id)
            self._looks[account_id] = AccountLook(*row)
        return self._looks[account_id]

    def is_armed(self, account: ExchangeAccount) -> bool:
        """Tell whether the account is reconciled, so that something may be added to it."""
        look = self.look(account.pk)
        interval = timedelta(seconds=account.sync_interval_seconds)
        return is_armed(Reconciled(look.reconciled_at, look.recovery_at, interval), now=self.now)

    def is_bound(self, intent: OrderIntent) -> bool:
        """Tell whether the allocation behind an order is for the sandbox."""
        self.allocations_read([intent])
        return self._modes[intent.module_id, intent.account_id]

    def allocations_read(self, intents: Iterable[OrderIntent]) -> None:
        """Read the allocations behind these orders together."""
        pairs = {(intent.module_id, intent.account_id) for intent in intents} - self._modes.keys()
        if not pairs:
            return
        rows = _allocations(
            module_ids=[module_id for module_id, _ in pairs],
            account_ids=[account_id for _, account_id in pairs],
        )
        found = {
            (module_id, account_id): sandbox_mode for module_id, account_id, sandbox_mode in rows
        }
        self._modes |= {pair: found.get(pair, False) for pair in pairs}


@prepared
def _last_read(account_id: Any) -> Any:
    return AccountState.objects.filter(account=account_id).values_list(
        "equity", "balance_at", "positions_at", "reconciled_at", "recovery_at"
    )


@prepared
def _allocations(module_ids: Any, account_ids: Any) -> Any:
    rows = AccountAllocation.objects.filter(module__any=module_ids, account__any=account_ids)
    return rows.values_list("module_id", "account_id", "sandbox_mode")
