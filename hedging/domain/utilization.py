"""Keeping accounts inside their utilization bands: what to close, and what a person could move."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Final

from accounts.domain.utilization import utilization
from controlplane.kernel.units import ZERO, BaseAmount, QuoteAmount, Ratio
from hedging.domain.planning import Candidate, PlannedOrder, collar_price
from hedging.domain.reduction import ReducibleLeg, reduce_both
from markets.venues.types import Side

INTO_THE_BAND: Final = Decimal("0.25")
"""How deep into its band, from the top, an account is brought: so it does not leave it at once."""


@dataclass(frozen=True, slots=True)
class AccountUse:
    """An account's margin as read at `read_at`; money in `asset`, the band as ratios."""

    account_id: str
    equity: Decimal | None
    initial_margin: Decimal | None
    low: Decimal
    high: Decimal
    read_at: datetime
    asset: str = ""

    @property
    def used(self) -> Ratio | None:
        return utilization(initial_margin=self.initial_margin, equity=self.equity)

    @property
    def is_above(self) -> bool:
        return self.used is not None and self.used > self.high

    @property
    def aim(self) -> Decimal:
        """The utilization that one above its band is brought to."""
        return self.high - (self.high - self.low) * INTO_THE_BAND

    @property
    def share_to_close(self) -> Decimal:
        """The share of its positions to close; their margin goes with their size."""
        return 1 - self.aim / self.used if self.is_above and self.used else ZERO


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money a person could move between two accounts of a book."""

    giver: str
    taker: str
    amount: QuoteAmount
    asset: str


def confirm(
    first: Mapping[str, datetime], uses: Iterable[AccountUse]
) -> tuple[dict[str, datetime], frozenset[str]]:
    """Return since which reading each account is above its band, and those that are so twice.

    One reading proves nothing: the second must be a later one.
    """
    above = {use.account_id: use.read_at for use in uses if use.is_above}
    since = {name: first.get(name, read_at) for name, read_at in above.items()}
    return since, frozenset(name for name, read_at in above.items() if read_at > since[name])


def plan_reduction(
    hot: AccountUse,
    candidates: Iterable[Candidate],
    uses: Mapping[str, AccountUse],
    *,
    reference: Decimal,
) -> tuple[PlannedOrder, ...]:
    """Plan how to close a share of what `hot` holds of one asset, and as much of the other side.

    The other side is closed where utilization is highest. Nothing is planned where an order of
    either side could not be priced: both go or neither.
    """
    usable = {
        (item.account_id, item.instrument_id): item
        for item in sorted(candidates, key=lambda item: _rank(item, hot, uses))
        if item.may_reduce and not item.has_unknown_intent and not item.cannot_reduce and item.top
    }
    held = [abs(item.position) for item in usable.values() if item.account_id == hot.account_id]
    legs = [
        ReducibleLeg(item.account_id, item.instrument_id, item.spec, _closable(item))
        for item in usable.values()
    ]
    orders = []
    for order in reduce_both(legs, hot.share_to_close * max(held, default=ZERO)):
        item = usable[order.account_id, order.instrument_id]
        price = collar_price(item, item.top, order.side, reference) if item.top else None
        if price is None:
            return ()
        orders.append(
            PlannedOrder(
                order.account_id, order.instrument_id, order.side, order.amount, price, True
            )
        )
    is_of_use = any(order.account_id == hot.account_id for order in orders)
    return tuple(orders) if is_of_use else ()


def propose_transfer(hot: AccountUse, others: Iterable[AccountUse]) -> Transfer | None:
    """Return what another account could give `hot` and stay in the middle of its own band.

    In whole units of the asset; None when none can give anything.
    """
    if hot.equity is None or hot.initial_margin is None or not hot.is_above:
        return None
    need = hot.initial_margin / hot.aim - hot.equity
    spare = {
        use.account_id: use.equity - use.initial_margin / ((use.low + use.high) / 2)
        for use in others
        if use.account_id != hot.account_id and use.asset == hot.asset
        if use.equity is not None and use.initial_margin is not None
    }
    giver = max(sorted(spare), key=lambda name: spare[name], default=None)
    if giver is None:
        return None
    amount = min(need, spare[giver]).quantize(Decimal(1), rounding=ROUND_DOWN)
    if amount <= 0:
        return None
    return Transfer(giver, hot.account_id, QuoteAmount(amount), hot.asset)


def _rank(
    item: Candidate, hot: AccountUse, uses: Mapping[str, AccountUse]
) -> tuple[bool, Decimal, str]:
    use = uses.get(item.account_id)
    used = (use.used if use else None) or ZERO
    return item.account_id != hot.account_id, -used, item.account_id


def _closable(item: Candidate) -> BaseAmount:
    """Return what is left to close of a position, signed like it."""
    sign = 1 if item.position > 0 else -1
    side = Side.SELL if item.position > 0 else Side.BUY
    return BaseAmount(sign * item.reducible(side))
