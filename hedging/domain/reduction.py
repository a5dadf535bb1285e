"""Shrinking both sides of a book alike: less of everything, the same net delta."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import gcd, lcm
from uuid import UUID

from controlplane.kernel.units import ZERO, BaseAmount
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import Side


@dataclass(frozen=True, slots=True)
class ReducibleLeg:
    """One account's position in one contract of the asset.

    `size` is signed base, long positive: what may still be closed, so the position less what
    orders on their way close already.
    """

    account_id: str
    instrument_id: UUID
    spec: InstrumentSpec
    size: BaseAmount


@dataclass(frozen=True, slots=True)
class LegReduction:
    """One reduce-only order: `amount` is unsigned base, on the contract's lot."""

    account_id: str
    instrument_id: UUID
    side: Side
    amount: BaseAmount


def reduce_both(legs: Iterable[ReducibleLeg], amount: Decimal) -> tuple[LegReduction, ...]:
    """Return orders that close up to `amount` (unsigned base) of the longs, and of the shorts.

    The legs are of one asset. They are used in the order given, a long always against a short,
    and each such pair in a size that both contracts can trade, so the net delta stays exactly as
    it is. What has no counterpart is left alone. The orders of a pair stand next to each other.
    """
    given = list(legs)
    closed: dict[ReducibleLeg, Decimal] = defaultdict(lambda: ZERO)
    rest = amount
    for pair in product(
        (leg for leg in given if leg.size > 0), (leg for leg in given if leg.size < 0)
    ):
        most = min(rest, *(_largest(leg) - closed.get(leg, ZERO) for leg in pair))
        size = _in_step(most, *(leg.spec for leg in pair))
        for leg in pair if size > 0 else ():
            closed[leg] += size
        rest -= size
    return tuple(_order(leg, size) for leg, size in closed.items())


def _largest(leg: ReducibleLeg) -> Decimal:
    """Return the most one order may close of the leg."""
    size = abs(leg.size)
    return size if leg.spec.max_qty is None else min(size, leg.spec.max_qty)


def _in_step(amount: Decimal, one: InstrumentSpec, other: InstrumentSpec) -> Decimal:
    """Return the largest size not above `amount` that both contracts can trade; zero if none."""
    step = _common(one.lot, other.lot)
    size = amount // step * step
    return size if size >= max(one.min_qty, other.min_qty) else ZERO


def _common(one: Decimal, other: Decimal) -> Decimal:
    """Return the smallest size that is a whole number of both lots."""
    a, b = Fraction(one), Fraction(other)
    common = Fraction(lcm(a.numerator, b.numerator), gcd(a.denominator, b.denominator))
    return Decimal(common.numerator) / Decimal(common.denominator)


def _order(leg: ReducibleLeg, amount: Decimal) -> LegReduction:
    side = Side.SELL if leg.size > 0 else Side.BUY
    return LegReduction(leg.account_id, leg.instrument_id, side, BaseAmount(amount))
