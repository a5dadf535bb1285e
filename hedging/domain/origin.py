"""Who made an order or a trade: we, somebody else, or the venue itself."""

from enum import StrEnum
from typing import Final


class Origin(StrEnum):
    """`external`: a person in the venue's own interface, or another program."""

    OURS = "ours"
    EXTERNAL = "external"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    SETTLEMENT = "settlement"


# Binance, user data streams, ORDER_TRADE_UPDATE: "special client order id" of the venue's orders.
_PREFIXES: Final = (
    ("settlement_autoclose-", Origin.SETTLEMENT),
    ("adl_autoclose", Origin.ADL),
    ("autoclose-", Origin.LIQUIDATION),
)


def origin_of(client_order_id: str, *, is_ours: bool = False) -> Origin:
    """Return who made the order with this client id; `is_ours` when an intent is behind it."""
    if is_ours:
        return Origin.OURS
    return next(
        (origin for prefix, origin in _PREFIXES if client_order_id.startswith(prefix)),
        Origin.EXTERNAL,
    )
