"""An account's money against its record: what trades, fees and funding do not explain.

Pure. For linear contracts the wallet less the cost of what is held, `wallet - sum(size * entry)`,
changes by what was paid for trades, by fees, by funding and by transfers, and by nothing else;
which lot a venue closes first does not matter, nor does the price in the meantime. Below this is
called cash; it may be negative. All amounts are of the settlement asset.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import ZERO
from hedging.domain.reconciliation import STEADY, STEADY_AMONG_TRADES

SMALLEST: Final = Decimal("0.01")
"""Venues round fees and entry prices; what differs by no more is no difference."""
BASIS_POINT: Final = Decimal("0.0001")
PAID_WITHIN: Final = timedelta(minutes=15)
"""A payment is booked at most so long after its settlement."""
UNCLEAR_AROUND: Final = timedelta(seconds=5)
"""Whether a trade so near to a settlement counts for it is the venue's to say."""


@dataclass(frozen=True, slots=True)
class CostedPosition:
    """A position by size (signed base), entry price and the contract's tick."""

    size: Decimal
    entry: Decimal
    tick: Decimal


@dataclass(frozen=True, slots=True)
class HeldCash:
    """An account's cash and what our record makes of it.

    `base` is the cash that everything before some moment makes, None when never looked at, and
    `flows` what trades, fees, funding and transfers have added since. `unexplained` and `since` are
    what was found last time; `last_flow_at` is when the newest trade was recorded.
    """

    cash: Decimal
    tolerance: Decimal
    base: Decimal | None
    flows: Decimal
    unexplained: Decimal
    since: datetime | None
    last_flow_at: datetime | None


@dataclass(frozen=True, slots=True)
class CashCheck:
    """What of an account's cash nothing explains, since when, and for certain."""

    unexplained: Decimal
    since: datetime | None
    is_certain: bool


def cash_of(wallet: Decimal, held: Iterable[CostedPosition]) -> Decimal:
    """Return the wallet less the cost of what is held."""
    return wallet - sum((it.size * it.entry for it in held), ZERO)


def tolerance_of(held: Iterable[CostedPosition]) -> Decimal:
    """Return what rounding may make of cash: a tick of each entry price, then and now."""
    return SMALLEST + 2 * sum((abs(it.size) * it.tick for it in held), ZERO)


def check_cash(held: HeldCash, *, at: datetime, read_at: datetime | None) -> CashCheck:
    """Compare an account's cash with its flows, at a look begun at `at`.

    A difference is certain when it has stayed the same for a while and the venue has been asked
    for funding and transfers since it appeared, of which `read_at` is the earlier: a settlement or
    a transfer looks the same until it is read.
    """
    difference = ZERO if held.base is None else held.cash - held.base - held.flows
    if abs(difference) <= held.tolerance:
        return CashCheck(ZERO, None, is_certain=False)
    is_same = held.since is not None and abs(difference - held.unexplained) <= held.tolerance
    since = held.since if is_same and held.since is not None else at
    is_quiet = held.last_flow_at is None or held.last_flow_at < since
    has_lasted = at - since >= (STEADY if is_quiet else STEADY_AMONG_TRADES)
    is_read = read_at is not None and read_at >= since
    return CashCheck(difference, since, is_certain=has_lasted and is_read)


@dataclass(frozen=True, slots=True)
class Settled:
    """A funding settlement of one contract and what an account was paid (negative: paid).

    `size` is what it held then, signed base.
    """

    rate: Decimal
    mark: Decimal
    size: Decimal
    paid: Decimal


def funding_gap(settled: Settled) -> Decimal:
    """Return by what share of the position's value the payment is off: received less due."""
    value = abs(settled.size * settled.mark)
    if value == 0:
        return ZERO if settled.paid == 0 else Decimal(1)
    due = -settled.size * settled.mark * settled.rate
    return (settled.paid - due) / value
