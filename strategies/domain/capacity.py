"""How much an account may still open for one module."""

from decimal import Decimal


def capacity(
    *,
    equity: Decimal | None,
    initial_margin: Decimal | None,
    utilization_max: Decimal,
    max_leverage: Decimal,
    max_position_value: Decimal,
    weight: Decimal,
) -> Decimal | None:
    """Return the USD value a module may still open, None when the account's margin is unknown.

    The account's utilization may reach the top of its band at its largest leverage, one position
    may reach `max_position_value`, and the module gets its `weight` of both.
    """
    if equity is None or initial_margin is None:
        return None
    margin_left = utilization_max * equity - initial_margin
    return max(Decimal(0), min(margin_left * max_leverage, max_position_value)) * weight
