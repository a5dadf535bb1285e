"""What a price move would do to an account: its utilization, and how far liquidation is."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from accounts.domain.utilization import utilization
from controlplane.kernel.units import ZERO, Price, Ratio


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A position as its venue reports it; `size` is signed base, long positive. None is unknown."""

    name: str
    size: Decimal
    mark: Decimal | None
    liquidation: Decimal | None


@dataclass(frozen=True, slots=True)
class PositionAfter:
    """A position after the move.

    `distance` is how far its price may then still go against it before the liquidation price the
    venue names now, as a share of the price; not above zero when it is there already, None where
    the venue names none.
    """

    name: str
    price: Price | None
    result: Decimal | None
    distance: Ratio | None


@dataclass(frozen=True, slots=True)
class AccountAfter:
    """An account after the move; None where something it depends on is unknown, never zero."""

    equity: Decimal | None
    initial_margin: Decimal | None
    utilization: Ratio | None
    distance: Ratio | None
    positions: tuple[PositionAfter, ...]


def what_if(
    positions: Iterable[HeldPosition],
    *,
    equity: Decimal | None,
    initial_margin: Decimal | None,
    move: Decimal,
) -> AccountAfter:
    """Return the account after every price has moved by `move`, a share (0.05 is 5 % up).

    Equity takes each position's result, and the margin goes with the positions' value.
    `distance` is that of the position nearest to its liquidation.
    """
    held = [position for position in positions if position.size]
    after = tuple(_after(position, move) for position in held)
    results = [position.result for position in after]
    known = [result for result in results if result is not None]
    is_known = len(known) == len(results)
    new_equity = equity + sum(known, ZERO) if equity is not None and is_known else None
    margin = None if initial_margin is None else max(ZERO, initial_margin * (1 + move))
    distances = [position.distance for position in after if position.distance is not None]
    return AccountAfter(
        equity=new_equity,
        initial_margin=margin,
        utilization=utilization(initial_margin=margin, equity=new_equity),
        distance=min(distances, default=None),
        positions=after,
    )


def _after(position: HeldPosition, move: Decimal) -> PositionAfter:
    if position.mark is None:
        return PositionAfter(position.name, None, None, None)
    price = position.mark * (1 + move)
    distance = None
    if position.liquidation is not None and price > 0:
        sign = 1 if position.size > 0 else -1
        distance = Ratio(sign * (price - position.liquidation) / price)
    return PositionAfter(
        position.name, Price(price), position.size * position.mark * move, distance
    )
