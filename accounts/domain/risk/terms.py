"""What the gate judges, and how it says no."""

from dataclasses import dataclass
from decimal import Decimal

from controlplane.kernel.errors import Denied
from controlplane.kernel.units import plain
from markets.venues.types import OrderType, Side


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What is to be sent. `amount` is base, `price` None for a market order."""

    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None
    reduce_only: bool


def denied(code: str, **numbers: object) -> Denied:
    """Return a denial whose text carries the code and its numbers."""
    shown = ", ".join(f"{name}={_shown(value)}" for name, value in numbers.items())
    return Denied(code, f"{code}: {shown}" if shown else code, **numbers)


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) and value.is_finite() else str(value)
